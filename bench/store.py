"""Many processes writing to one store at once: latency of a write, lost updates, and errors that anybody saw.

`python -m bench.store [--processes 8] [--seconds 60] [--writes N]` prints one JSON line for writes, one for reads.
"""

import argparse
import json
import multiprocessing
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from app.domain.variant import ModelRef, VariantSpec
from app.store import read, wishes
from app.store.migrate import migrate
from app.store.tables import Setting
from app.store.write import Store
from bench.figures import figure

WISH_EVERY = 4
"""One write in four is a wish (three rows and an event); the others read, add one and write back."""


def main() -> None:
    """Run the load and print what it came to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--writes", type=int, help="end after so many writes a process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "stoker.db"
        migrate(path, Path(directory) / "backups")
        _seed(path)
        context = multiprocessing.get_context("fork")
        with context.Pool(options.processes + 1) as pool:
            until = time.monotonic() + options.seconds
            looking = pool.apply_async(_reader, (path, until))
            writers = [(path, number, until, options.writes) for number in range(options.processes)]
            results = pool.starmap(_writer, writers, chunksize=1)
            (path.parent / "done").touch()
            looks, reader_errors = looking.get()
        _report(path, options.processes, results)
        _figure("store_read_p99", looks, errors=reader_errors)


def _seed(path: Path) -> None:
    model = ModelRef("smollm2", "bundled", "/models/smollm2.gguf")
    with Store(path).write() as session:
        session.add(Setting(key="n", value="0"))
        wishes.launch(session, "demo", VariantSpec(model, "llama.cpp", "process", 4096, 4, "f16"), 1, "bench")


def _writer(path: Path, number: int, until: float, most: int | None) -> tuple[list[float], int, Counter[str]]:
    """Seconds of each write, how many of them added one to the counter, and errors by name."""
    store, taken, added, errors = Store(path), list[float](), 0, Counter[str]()
    while time.monotonic() < until and (most is None or len(taken) < most):
        began = time.monotonic()
        try:
            with store.write() as session:
                if len(taken) % WISH_EVERY == 0:
                    wish = wishes.stop if number % 2 else wishes.start
                    wish(session, "demo", f"bench {number}")
                else:
                    row = session.get_one(Setting, "n")
                    row.value = str(int(row.value) + 1)
                    session.add(row)
            added += len(taken) % WISH_EVERY != 0
        except Exception as error:  # whatever a person could have been shown
            errors[str(error)] += 1
        taken.append(time.monotonic() - began)
    return taken, added, errors


def _reader(path: Path, until: float) -> tuple[list[float], Counter[str]]:
    taken, errors = list[float](), Counter[str]()
    while time.monotonic() < until and not (path.parent / "done").exists():
        began = time.monotonic()
        try:
            with read.reading(path) as connection:
                read.deployment(connection, "demo")
        except Exception as error:  # whatever a person could have been shown
            errors[str(error)] += 1
        taken.append(time.monotonic() - began)
    return taken, errors


def _report(path: Path, processes: int, results: list[tuple[list[float], int, Counter[str]]]) -> None:
    taken = [seconds for times, _, _ in results for seconds in times]
    added = sum(count for _, count, _ in results)
    failed: Counter[str] = sum((errors for _, _, errors in results), Counter())
    with sqlite3.connect(path) as connection:
        counter = json.loads(connection.execute("SELECT value FROM settings WHERE key = 'n'").fetchone()[0])
        wished = connection.execute("SELECT count(*) FROM events WHERE cause <> 'launched'").fetchone()[0]
    connection.close()
    lost = added - counter + (len(taken) - added - failed.total()) - wished
    _figure("store_write_p99", taken, processes=processes, lost_updates=lost, errors=failed)


def _figure(name: str, taken: list[float], **more: Any) -> None:
    """The 99th percentile of `taken` (seconds), with the median and the worst beside it."""
    ordered = sorted(taken) or [0.0]
    p50, p99, worst = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e3 for q in (0.5, 0.99, 1.0))
    figure(name, p99, "ms", p50=round(p50, 2), max=round(worst, 2), count=len(taken), **more)


if __name__ == "__main__":
    main()
