"""What the console does not do: load what it does not need yet, and send to the terminal what has not changed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.test_main import HEAVY
from tests.screens.homes import add, empty_home, set_instance
from tests.screens.pty import Pty
from tests.screens.support import Scribe, failing

LOOK_ROUND = """
import asyncio, sys
from app.console import Console, Options
from app.settings import find_home
from tests.widgets.support import screen_of, until

async def run():
    app = Console(find_home(), Options())
    async with app.run_test(size=(120, 40)) as pilot:
        for keys, *texts in {tour}:
            await pilot.press(*keys)
            await until(pilot, lambda: all(text in screen_of(app) for text in texts))

asyncio.run(run())
print(*sorted(set(sys.modules) & {heavy}))
"""
TOUR = [
    ([], "chat", "coder", "HOST_OOM"),
    (["enter"], "VARIANT", "INSTANCE"),
    (["2"], "COMMAND", "● pass  model"),
    (["escape", "3"], "a line", "following"),
    (["4"], "ask something", "variant"),
    (["escape", "6"], "LAST USED"),
]


def test_looking_round_loads_nothing_that_only_writing_needs(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.log(scribe.attempt(scribe.instance(scribe.deployment("chat"))), b"a line\n")
        failing(scribe)
    script = LOOK_ROUND.replace("{tour}", repr(TOUR)).replace("{heavy}", repr(HEAVY - {"textual"}))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"STOKER_HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr[-2_000:]


def test_a_change_costs_its_line_and_nothing_else(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    ids = [add(home, f"d{number:02}", "running", "serving") for number in range(30)]

    def change(number: int, phase: str) -> Callable[[], None]:
        return lambda: set_instance(home, ids[number], state="pending", phase=phase)

    with Pty(home) as terminal:
        terminal.until("d29")
        for number, phase, word in ((8, "loading", "INITIALIZING"), (9, "starting", "DEPLOYING")):
            cost(terminal, change(number, phase), word)  # until all else has been painted
        for number, phase, word in ((20, "starting", "DEPLOYING"), (21, "loading", "INITIALIZING")):
            spent, seconds = cost(terminal, change(number, phase), word)
            # A row, and once a second the ages above and below the table. The whole screen is 25,000 bytes.
            assert spent < 1_500 + 1_500 * seconds


def cost(terminal: Pty, change: Callable[[], None], text: str) -> tuple[int, float]:
    """Bytes that reach the terminal from a change until its `text` is there, and the seconds it took."""
    before, began = len(terminal.received), time.monotonic()
    terminal.mark()
    change()
    terminal.until(text)
    return len(terminal.received) - before, time.monotonic() - began
