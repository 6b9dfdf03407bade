"""A ledger of a million entries: what a look at it takes, a check of it, and a tick of the meter for many instances.

`python -m bench.ledger [--entries 1000000] [--instances 1000]` prints one JSON line a figure.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlmodel import Session
from textual.pilot import Pilot

from app.boot import instant
from app.console import Console, Options
from app.control import meter
from app.domain.ids import ulid
from app.domain.money import DAY_US, MICRO
from app.settings import Home
from app.store import bill, read
from app.store.bill import Filter
from app.store.ledger import Book, Draft, charge_moves, top_up
from app.store.migrate import migrate
from app.store.tables import Attempt, Deployment, Instance, Meter, Variant
from app.store.verify import verify
from app.store.write import Store
from bench.figures import figure
from tests.store.spec import spec
from tests.widgets.support import screen_of

DEPLOYMENTS = 20
AT_ONCE = 20_000
WINDOW = 400
"""Entries that the screen reads at a time."""
PAGES = 50


def main() -> None:
    """Fill a store and look at it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--instances", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory), Path(directory))
        home.make()
        migrate(home.store, home.backups)
        with closing(Store(home.store)) as store:
            began = time.perf_counter()
            _fill(store, options.entries)
            took = time.perf_counter() - began
            figure("an entry written", took / options.entries * 1e6, "us", entries=options.entries)
            _look(home)
            asyncio.run(_open(home))
            _tick(store, options.instances)
        began = time.perf_counter()
        found = verify(home.store)
        figure("every entry checked", time.perf_counter() - began, "s", entries=found.entries, ok=found.ok)


def _look(home: Home) -> None:
    now = instant()
    with read.reading(home.store) as connection:
        total = bill.count(connection)
        looks: dict[str, Callable[[], object]] = {
            "balance, burn, runway": lambda: bill.standing(connection, now),
            "the month by day": lambda: bill.spending(connection, now.at // DAY_US - 31),
            "the newest entries": lambda: list(bill.entries(connection, range(total, total - WINDOW, -1))),
            "entries in the middle": lambda: list(bill.entries(connection, range(total // 2, total // 2 - WINDOW, -1))),
            "all of one deployment, found": lambda: bill.matching(connection, Filter(deployment="dep-3")),
            "all of one day, found": lambda: bill.matching(connection, Filter(since=now.at - DAY_US)),
        }
        for name, look in looks.items():
            times = []
            for _ in range(7):
                began = time.perf_counter()
                look()
                times.append((time.perf_counter() - began) * 1_000)
            figure(name, statistics.median(times), "ms", entries=total, worst=round(max(times), 3))


async def _open(home: Home) -> None:
    """The Ledger screen: from the key to the newest entry on it, and pages down into the past."""
    app = Console(home, Options())
    async with app.run_test(size=(120, 40)) as pilot:
        # The first time builds the screen and imports what it shows; the second is what a person meets all day.
        for name in ("the screen opened", "the screen opened again"):
            app.go("fleet")
            await pilot.pause()
            began = time.perf_counter()
            await pilot.press("5")
            await _shows(pilot, lambda: "charge" in screen_of(app))
            figure(name, (time.perf_counter() - began) * 1_000, "ms")
        times = []
        for _ in range(PAGES):
            before, began = screen_of(app), time.perf_counter()
            await pilot.press("pagedown")
            while screen_of(app) == before:
                await pilot.pause()
            times.append((time.perf_counter() - began) * 1_000)
        figure("a page down", statistics.median(times), "ms", pages=PAGES, worst=round(max(times), 3))
        began = time.perf_counter()
        await pilot.press("G")
        await _shows(pilot, lambda: "topup" in screen_of(app))
        figure("the oldest entry", (time.perf_counter() - began) * 1_000, "ms")


async def _shows(pilot: Pilot[Any], true: Callable[[], object]) -> None:
    while not true():
        await pilot.pause()


def _tick(store: Store, instances: int) -> None:
    """A tick that bills a minute of each of many instances."""
    now = instant()
    with store.write() as session:
        attempts = [_running(session, n, now.boot_id, now.boot_us - 60 * MICRO, now.at) for n in range(instances)]
    alive = dict.fromkeys(attempts, now.boot_us)
    wall, cpu = time.perf_counter(), time.process_time()
    with store.write() as session:
        meter.tick(session, now, alive)
    figure("a tick of the meter", (time.perf_counter() - wall) * 1_000, "ms", instances=instances)
    figure("a tick of the meter, CPU", (time.process_time() - cpu) * 1_000, "ms", instances=instances)


def _running(session: Session, number: int, boot_id: str, cursor_us: int, at: int) -> str:
    deployment = _deploy(session, f"run-{number}")
    attempt, instance = ulid(), ulid()
    session.add(
        Instance(
            id=instance,
            deployment_id=deployment.id,
            variant_id=deployment.variant_id,
            name=f"run-{number}-a",
            backend="process",
            state="running",
            phase="serving",
            since=1,
            attempt_id=attempt,
            created_at=1,
        )
    )
    session.flush()
    session.add(Attempt(id=attempt, instance_id=instance, number=1, epoch=1, created_at=1, ready_at=1))
    session.flush()
    session.add(
        Meter(
            attempt_id=attempt,
            deployment_id=deployment.id,
            price=600_000,
            boot_id=boot_id,
            cursor_us=max(0, cursor_us),
            cursor_at=at - 60 * MICRO,
        )
    )
    return attempt


def _fill(store: Store, entries: int) -> None:
    now = time.time_ns() // 1_000
    with store.write() as session:
        ids = [_deploy(session, f"dep-{n}").id for n in range(DEPLOYMENTS)]
        top_up(Book(session, now - 31 * DAY_US), 1_000_000 * MICRO, "bench")
    for start in range(0, entries, AT_ONCE):
        with store.write() as session:
            book = Book(session, now)
            for n in range(start, min(entries, start + AT_ONCE)):
                book.now = now - (entries - n) * 30 * DAY_US // entries
                deployment = ids[n % DEPLOYMENTS]
                draft = Draft(
                    "charge",
                    f"time:{n}",
                    charge_moves(book, deployment, 10_000 + n % 7),
                    "bench",
                    deployment,
                    quantity=60 * MICRO,
                    unit="us",
                    price=600_000,
                    starts=book.now - 60 * MICRO,
                    ends=book.now,
                )
                book.post(draft)


def _deploy(session: Session, name: str) -> Deployment:
    deployment_id, variant_id = ulid(), ulid()
    session.add(
        Variant(id=variant_id, deployment_id=deployment_id, number=1, spec=json.dumps(spec().to_json()), created_at=1)
    )
    row = Deployment(
        id=deployment_id,
        name=name,
        wish="running",
        wish_at=1,
        replicas=1,
        variant_id=variant_id,
        status="DEPLOYED",
        created_at=1,
    )
    session.add(row)
    session.flush()
    return row


if __name__ == "__main__":
    main()
