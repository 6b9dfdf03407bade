"""The fleet: states in words, the failure in the row and below it, filter and sort, and what keys do."""

import time
from pathlib import Path

import pytest

from app.console import Console, Options
from app.settings import Home
from tests.screens.homes import add, empty_home, set_instance
from tests.widgets.support import LARGE, SMALL, lines_of, play, screen_of, until

HOSTILE = "[/]\x1b[2J\x1b]52;c;QQ==\x07\u202ebad"


def console(home: Home, **options: bool) -> Console:
    return Console(home, Options(**options))


def fleet_of(path: Path) -> Home:
    home = empty_home(path)
    now = time.time_ns() // 1_000
    add(home, "chat", "running", "serving", ready_at=now, pid=1)
    add(home, "coder", "failed", "failed", failure_code="HOST_OOM", failure_evidence=HOSTILE, failed_at=now)
    add(home, "nightly", "failed", "failed", failure_code="RUNTIME_ERROR", failed_at=now, retry_at=now + 40_000_000)
    add(home, "embed", "pending", "loading")
    return home


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_every_state_is_a_glyph_and_a_word(tmp_path: Path, size: tuple[int, int]) -> None:
    async def scene() -> None:
        app = console(fleet_of(tmp_path))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: "nightly" in screen_of(app))
            text = screen_of(app)
            for words in ("● DEPLOYED", "✖ FAILED HOST_OOM", "◔ ERROR RUNTIME_ERROR", "◐ INITIALIZING"):
                assert words in text
            assert all(len(line) <= size[0] for line in lines_of(app))

    play(scene)


def test_a_failed_row_shows_code_evidence_and_remedy_and_nothing_in_it_acts(tmp_path: Path) -> None:
    async def scene() -> None:
        app = console(fleet_of(tmp_path))
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "coder" in screen_of(app))
            await pilot.press("j")
            await until(pilot, lambda: "HOST_OOM   The engine needs more host memory" in screen_of(app))
            text = screen_of(app)
            await until(pilot, lambda: "f fix 1  KV cache q8_0" in screen_of(app))
            assert "[/]�bad" in text, "markup is shown as it is, control characters are not"
            assert "\x1b" not in text
            assert "\u202e" not in text

    play(scene)


def test_filter_sort_and_ascii(tmp_path: Path) -> None:
    async def scene() -> None:
        app = console(fleet_of(tmp_path), ascii=True)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "x FAILED HOST_OOM" in screen_of(app))
            assert screen_of(app).isascii()
            await pilot.press("slash", *"embed", "enter")
            await until(pilot, lambda: "nightly" not in screen_of(app))
            await pilot.press("slash", "escape")
            await until(pilot, lambda: "nightly" in screen_of(app))
            await pilot.press("o")
            await until(pilot, lambda: "sorted by status" in screen_of(app))

    play(scene)


def test_a_row_follows_the_store(tmp_path: Path) -> None:
    async def scene() -> None:
        home = empty_home(tmp_path)
        instance = add(home, "chat", "pending", "starting")
        app = console(home)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "◐ DEPLOYING starting" in screen_of(app))
            set_instance(home, instance, state="running", phase="serving")
            await until(pilot, lambda: "● DEPLOYED" in screen_of(app))
            assert "server down" in screen_of(app)

    play(scene)


def test_with_nothing_launched_it_says_what_this_machine_can_do(tmp_path: Path) -> None:
    async def scene() -> None:
        app = console(Home(tmp_path, tmp_path))
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: "cores" in screen_of(app))
            assert "enter launches the bundled model" in screen_of(app)

    play(scene)


def test_read_only_refuses_and_removal_asks(tmp_path: Path) -> None:
    async def scene() -> None:
        home = fleet_of(tmp_path)
        app = console(home, read_only=True)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "chat" in screen_of(app))
            await pilot.press("s")
            await until(pilot, lambda: "read-only" in screen_of(app))
        app = console(home)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "chat" in screen_of(app))
            await pilot.press("x")
            await until(pilot, lambda: "Remove chat?" in screen_of(app))
            await pilot.press("enter")
            await until(pilot, lambda: "Remove chat?" not in screen_of(app))
            assert "STOPPING" not in screen_of(app)

    play(scene)


def test_commands_are_typed_completed_and_explained(tmp_path: Path) -> None:
    async def scene() -> None:
        app = console(fleet_of(tmp_path))
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: "chat" in screen_of(app))
            await pilot.press("colon", *"lanch", "enter")
            await until(pilot, lambda: "Did you mean `:launch`?" in screen_of(app))
            await pilot.press("colon", *"theme ash", "enter")
            await until(pilot, lambda: app.theme == "ash")
            await pilot.press("question_mark")
            await until(pilot, lambda: "Stop it after requests in flight" in screen_of(app))

    play(scene)


def test_a_line_is_typed_undisturbed_while_there_is_nothing_yet(tmp_path: Path) -> None:
    async def scene() -> None:
        app = console(Home(tmp_path, tmp_path))
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: "cores" in screen_of(app))
            await pilot.press("colon")
            empty_home(tmp_path)
            await until(pilot, lambda: "server down" in screen_of(app))
            await pilot.press(*"theme ash", "enter")
            await until(pilot, lambda: app.theme == "ash")

    play(scene)
