"""What a tick of the table costs beside Textual's own, and a log of ten million lines opened, jumped in and searched.

`python -m bench.widgets [--lines 10000000] [--rounds 3]` prints one JSON line a figure. Times of ticks are CPU, drawing
included, at 120 by 40 without a terminal. `loop_ms` is the longest that the event loop was late while something went
on; `loop_idle` says how late the machine itself makes it at that time, with nothing to do.
"""

import argparse
import asyncio
import contextlib
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import DataTable

from bench.figures import figure
from widgets.columns import Column
from widgets.logfile import OneFile
from widgets.logpane import LogPane
from widgets.logsearch import Pattern
from widgets.spans import Span
from widgets.table import LineTable
from widgets.theme import EMBER

COLUMNS, CHANGING, TICKS = 8, 4, 5
SIZE = (120, 40)
IDLE_S = 5
NEEDLE = "torch.OutOfMemoryError: CUDA out of memory"
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Stage(App[None]):
    """One widget and nothing else."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.register_theme(EMBER)
        self.theme = "ember"
        self._widget = widget

    def compose(self) -> ComposeResult:
        yield self._widget


def main() -> None:
    """Measure tables, then the log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for rows in (1_000, 10_000):
        asyncio.run(tables(rows, options.rounds))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "engine.log"
        write_log(path, options.lines)
        asyncio.run(log(path, path.stat().st_size // 1_000_000, options.lines))


def row(number: int, tick: int) -> tuple[Span, ...]:
    """A row of which some cells say something else at every tick."""
    steady = [f"row {number}", "Qwen/Qwen3-8B", "vllm", "gpu1:0"]
    changing = [f"{(number * 7 + tick * 13 + n) % 997}" for n in range(CHANGING)]
    return tuple((text, "plain") for text in [*steady, *changing])


async def tables(rows: int, rounds: int) -> None:
    """CPU of a tick with every row changing, one in twenty, and none, beside `DataTable` where it has the same."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, ms in (await line_table(rows)).items():
            ours.setdefault(name, []).append(ms)
        for name, ms in (await data_table(rows)).items():
            theirs.setdefault(name, []).append(ms)
    for name, values in ours.items():
        value = statistics.median(values)
        beside = statistics.median(theirs[name]) if name in theirs else None
        ratio = None if beside is None else round(beside / value, 1)
        figure(f"table_tick_{name}", value, "ms CPU", rows=rows, data_table_ms=beside, times_cheaper=ratio)


async def line_table(rows: int) -> dict[str, float]:
    columns = [Column(f"c{n}", f"C{n}", 12) for n in range(COLUMNS)]
    table = LineTable(columns)
    async with Stage(table).run_test(size=SIZE) as pilot:

        def tick(share: int) -> Callable[[int], None]:
            # Rows are what the caller brings, for any table; only what is done with them is measured.
            ready = [
                [(str(n), row(n, number if share and n % share == 0 else 0)) for n in range(rows)]
                for number in range(TICKS + 1)
            ]
            return lambda number: table.set_rows(ready[number])

        table.set_rows((str(n), row(n, 0)) for n in range(rows))
        await pilot.pause()
        return {
            "all_rows": await cpu_ms(pilot, tick(1)),
            "one_in_twenty": await cpu_ms(pilot, tick(20)),
            "nothing": await cpu_ms(pilot, tick(0)),
        }


async def data_table(rows: int) -> dict[str, float]:
    table: DataTable[str] = DataTable()
    async with Stage(table).run_test(size=SIZE) as pilot:
        keys = [table.add_column(f"C{n}", width=12) for n in range(COLUMNS)]
        for n in range(rows):
            table.add_row(*(text for text, _ in row(n, 0)), key=str(n))
        await pilot.pause()

        def tick(share: int) -> Callable[[int], None]:
            ready = [{n: row(n, number)[-CHANGING:] for n in range(0, rows, share)} for number in range(TICKS + 1)]

            def update(number: int) -> None:
                for n, cells in ready[number].items():
                    for column, (text, _) in zip(keys[-CHANGING:], cells, strict=True):
                        table.update_cell(str(n), column, text)

            return update

        return {"all_rows": await cpu_ms(pilot, tick(1)), "one_in_twenty": await cpu_ms(pilot, tick(20))}


async def cpu_ms(pilot: Pilot[None], tick: Callable[[int], None]) -> float:
    """Median CPU milliseconds of a tick and of drawing what it changed."""
    taken: list[float] = []
    for number in range(1, TICKS + 1):
        began = time.process_time()
        tick(number)
        await pilot.pause()
        taken.append((time.process_time() - began) * 1_000)
    return statistics.median(taken)


def write_log(path: Path, lines: int) -> None:
    """A log of about 95 bytes a line, with one line in the middle to be found, and one near the beginning."""
    block = 100_000
    text = "".join(
        f"2026-07-01 14:02:{n % 60:02}.{n % 1000:03} INFO  Loading safetensors checkpoint shards: done | {n:06} of it\n"
        for n in range(block)
    ).encode()
    with path.open("wb") as file:
        for n in range(0, lines, block):
            chunk = text[: text.index(f"| {lines - n:06}".encode())] if lines - n < block else text
            file.write(chunk)
            if n // block in (0, lines // block // 2):
                file.write(f"2026-07-01 14:31:09.771 ERROR {NEEDLE}, block {n // block}\n".encode())


async def log(path: Path, size_mb: int, lines: int) -> None:
    """Open, index, jump, search and filter a log; print what each took, and how late the event loop was."""
    process = psutil.Process()
    more = {"lines": lines, "mb": size_mb}
    pane = LogPane(OneFile(path), lambda text: _ESCAPE.sub("", text))
    before = process.memory_info().rss
    began = time.perf_counter()
    async with Stage(pane).run_test(size=SIZE) as pilot, late_loop() as late:
        started = time.perf_counter() - began
        began = time.perf_counter()
        await until(lambda: pane.state.lines > SIZE[1])
        figure(
            "log_tail_shown", (time.perf_counter() - began) * 1_000, "ms", app_start_ms=round(started * 1_000), **more
        )
        await until(lambda: pane.state.complete)
        rss = (process.memory_info().rss - before) / 1_000_000
        figure("log_indexed", time.perf_counter() - began, "s", rss_mb=round(rss), counted=pane.state.lines, **late())

        late()
        await asyncio.sleep(IDLE_S)
        figure("loop_idle", late()["loop_ms"], "ms", seconds=IDLE_S)

        async def timed(name: str, act: Callable[[], None], done: Callable[[], object], **note: Any) -> None:
            late()
            began = time.perf_counter()
            act()
            await until(done)
            await pilot.pause()
            figure(f"log_{name}", (time.perf_counter() - began) * 1_000, "ms", **note, **late())

        await timed("jump_to_middle", lambda: pane.go_to_number(lines // 2), lambda: pane.state.number == lines // 2)
        await timed("jump_to_first", lambda: pane.go_to_offset(0), lambda: pane.state.number == 1)
        await timed("jump_to_end", pane.follow, lambda: pane.state.following)
        for name, pattern in (
            ("search_text", Pattern("cuda out of")),
            ("search_regex", Pattern(r"error .*cuda out of mem.*block 0$", regex=True)),
        ):
            pane.follow()
            await timed(name, lambda pattern=pattern: pane.search(pattern, forward=False), late_found(pane))  # type: ignore[misc]  # bound in time
        chosen = Pattern(NEEDLE)
        await timed("filter", lambda: pane.set_filter(chosen), lambda: (pane.state.matches or 0) >= 2, matches=2)
        figure("log_rss", (process.memory_info().rss - before) / 1_000_000, "MB", bytes_a_line=8)


def late_found(pane: LogPane) -> Callable[[], object]:
    """Whether the pane has come to a place other than its end."""
    return lambda: not pane.state.following and pane.state.number is not None


@contextlib.asynccontextmanager
async def late_loop() -> AsyncIterator[Callable[[], dict[str, float]]]:
    """A watch on the event loop. Calling it gives the longest delay since the last call, in milliseconds."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            worst = max(worst, time.perf_counter() - began - 0.002)

    def late() -> dict[str, float]:
        nonlocal worst
        taken, worst = worst, 0.0
        return {"loop_ms": round(taken * 1_000, 1)}

    watching: Coroutine[Any, Any, None] = watch()
    task = asyncio.get_running_loop().create_task(watching)
    try:
        yield late
    finally:
        task.cancel()


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for is a state of the screen, which no event announces
        await asyncio.sleep(0.002)


if __name__ == "__main__":
    main()
