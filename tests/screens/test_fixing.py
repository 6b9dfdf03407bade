"""The fix card on Fleet and Deployment, and the list that `f` opens: by cursor, by number, and what is only copied."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from app.console import Console, Options
from app.domain.variant import ModelRef
from tests.control.support import bundled_model
from tests.screens.support import HOSTILE, Scribe, failing, looks
from tests.screens.test_deployment import opened
from tests.widgets.support import LARGE, SMALL, play, screen_of, until

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]


def bad_flag(scribe: Scribe, name: str = "coder") -> str:
    """A deployment of a real file whose engine refused a flag."""
    model = ModelRef("smollm2", "file", str(bundled_model()), size=bundled_model().stat().st_size)
    evidence = "error: invalid argument: --thread (the nearest is --threads)"
    scribe.deployment("idle")
    return failing(scribe, name, evidence, change={"model": model, "flags": {"thread": "2"}}, failure_code="BAD_FLAG")


def current(scribe: Scribe) -> list[tuple[int, dict[str, Any]]]:
    """Number and flags of the variant that coder is to run."""
    with closing(sqlite3.connect(scribe.home.store)) as connection:
        sql = "SELECT v.number, v.spec FROM deployments d JOIN variants v ON v.id = d.variant_id WHERE d.name = 'coder'"
        return [(number, json.loads(spec)["flags"]) for number, spec in connection.execute(sql)]


async def on_fleet(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: "coder" in screen_of(pilot.app))
    assert isinstance(pilot.app, Console)
    pilot.app.selected = "coder"
    await until(pilot, lambda: "thread → threads 2" in screen_of(pilot.app))


@pytest.mark.parametrize("size", SIZES)
def test_the_card_stands_under_the_failed_row(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        bad_flag(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=size) as pilot:
                await on_fleet(pilot)
                await looks(pilot, f"card-{size[0]}")
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await looks(pilot, f"fixes-{size[0]}")

        play(scene)


def test_enter_does_the_one_under_the_cursor(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        bad_flag(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await on_fleet(pilot)
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("j", "enter")
                await until(pilot, lambda: current(scribe) == [(2, {})])

        play(scene)


def test_a_number_picks_on_the_deployment_screen(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        bad_flag(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await opened(scribe.home, pilot, "coder")
                await until(pilot, lambda: "f fix 1  thread → threads 2" in screen_of(app))
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("escape")
                await until(pilot, lambda: "Mend coder" not in screen_of(app))
                assert current(scribe) == [(1, {"thread": "2"})], "leaving does nothing"
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("1")
                await until(pilot, lambda: current(scribe) == [(2, {"threads": "2"})])
                await until(pilot, lambda: "fix (by " in screen_of(app))

        play(scene)


def test_a_command_is_copied_and_a_console_that_may_not_write_does_nothing(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        failing(scribe, evidence=f"CUDA error {HOSTILE}", failure_code="CUDA_ERROR")
        scribe.up()
        copied = scribe.home.state / "copied.txt"

        async def scene() -> None:
            app = Console(scribe.home, Options(read_only=True))
            async with app.run_test(size=LARGE) as pilot:
                await opened(scribe.home, pilot, "coder")
                await until(pilot, lambda: "$ nvidia-smi" in screen_of(app))
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("j", "y")
                await until(pilot, lambda: copied.exists() and copied.read_text() == "nvidia-smi")
                await until(pilot, lambda: "command copied" in screen_of(app))
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("3")
                await until(pilot, lambda: copied.read_text().startswith("sudo dmesg"))
                await pilot.press("f")
                await until(pilot, lambda: "Mend coder" in screen_of(app))
                await pilot.press("1")
                await until(pilot, lambda: "read-only" in screen_of(app))

        play(scene)


def test_what_has_not_failed_needs_no_mending(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.instance(scribe.deployment("idle"))
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await opened(scribe.home, pilot, "idle")
                await pilot.press("f")
                await until(pilot, lambda: "nothing that needs mending" in screen_of(app))

        play(scene)


def test_help_explains_the_words_of_the_row(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        bad_flag(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await on_fleet(pilot)
                await pilot.press("question_mark")
                await until(pilot, lambda: "The engine refused a flag." in screen_of(app))
                assert "Every instance has failed for good;" in screen_of(app)
                await pilot.press("escape")
                await opened(scribe.home, pilot, "coder")
                await pilot.press("question_mark")
                await until(pilot, lambda: "nothing by itself: change something first" in screen_of(app))

        play(scene)


def test_a_bundle_is_made_at_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with Scribe(tmp_path) as scribe:
        bad_flag(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await on_fleet(pilot)
                await pilot.press("b")
                await until(pilot, lambda: "files in " in screen_of(app))
                assert len(list((scribe.home.state / "bundles").glob("stoker-coder-*.tar.gz"))) == 1

        play(scene)
