"""What comes up over a screen and asks: picking, filling in, reading once."""

from collections.abc import Mapping

import pytest
from textual.pilot import Pilot

from tests.widgets.support import LARGE, SMALL, Stage, golden, play, screen_of, until
from widgets.asking import FormDialog, PickDialog, Sheet
from widgets.columns import Column
from widgets.form import Field
from widgets.lines import Lines
from widgets.spans import Line

COLUMNS = (Column("name", "NAME", minimum=10), Column("state", "STATUS", minimum=10))
FIELDS = (Field("name", "NAME", placeholder="of whom"), Field("age", "AGE", hint=[("in years", "dim")]))


async def shows(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: text in screen_of(pilot.app))


@pytest.mark.parametrize(
    ("keys", "picked"), [(["enter"], "one"), (["j", "enter"], "two"), (["escape"], None), (["q"], None)]
)
def test_one_is_picked_or_none(keys: list[str], picked: str | None) -> None:
    async def scene() -> None:
        stage = Stage(Lines([[("below", "plain")]]))
        answers: list[str | None] = []
        async with stage.on_stage() as pilot:
            rows: list[tuple[str, Line]] = [(key, [(key, "plain"), ("fine", "good")]) for key in ("one", "two")]
            stage.push_screen(PickDialog([("Which?", "strong")], COLUMNS, rows), answers.append)
            await shows(pilot, "two")
            await pilot.press(*keys)
            await until(pilot, lambda: answers == [picked])

    play(scene)


def test_more_rows_than_lines_are_scrolled() -> None:
    async def scene() -> None:
        stage = Stage(Lines([[("below", "plain")]]))
        answers: list[str | None] = []
        async with stage.on_stage() as pilot:
            rows: list[tuple[str, Line]] = [(str(n), [(f"row {n}", "plain"), ("", "plain")]) for n in range(100)]
            stage.push_screen(PickDialog([("Which?", "strong")], COLUMNS, rows), answers.append)
            await shows(pilot, "row 5")
            assert "Which?" in screen_of(stage) and "esc leave" in screen_of(stage)
            await pilot.press("G")
            await shows(pilot, "row 99")

    play(scene)


def test_a_form_is_filled_in_and_checked() -> None:
    def check(values: Mapping[str, str]) -> tuple[str, str] | None:
        return None if values["age"].isdigit() else ("age", "That is no number.")

    async def scene() -> None:
        stage = Stage(Lines([[("below", "plain")]]))
        answers: list[Mapping[str, str] | None] = []
        async with stage.on_stage() as pilot:
            dialog = FormDialog([("A person", "strong")], FIELDS, yes="go", check=check)
            stage.push_screen(dialog, answers.append)
            await shows(pilot, "in years")
            golden("form-dialog-80", screen_of(stage))
            await pilot.press(*"ada", "enter", "x", "ctrl+l")
            await shows(pilot, "That is no number.")
            await pilot.press("backspace", *"36", "enter")
            await until(pilot, lambda: answers == [{"name": "ada", "age": "36"}])
            stage.push_screen(FormDialog([("A person", "strong")], FIELDS, yes="go"), answers.append)
            await shows(pilot, "in years")
            await pilot.press("escape")
            await until(pilot, lambda: len(answers) == 2)
            assert answers[1] is None

    play(scene)


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120"), pytest.param((40, 12), id="40")]
)
def test_a_sheet_shows_everything_whatever_the_width(size: tuple[int, int]) -> None:
    done: list[str] = []

    def act() -> str:
        done.append("y")
        return "taken"

    async def scene() -> None:
        stage = Stage(Lines([[("below", "plain")]]))
        async with stage.on_stage(size) as pilot:
            lines: list[Line] = [[("key  ", "plain"), ("k" * 100, "accent")], (), [("next", "plain")]]
            stage.push_screen(Sheet([("Shown once", "strong")], lines, [("y", "take", act)], indent=5))
            await shows(pilot, "Shown once")
            await until(pilot, lambda: screen_of(stage).count("k") >= 100)
            golden(f"sheet-{size[0]}", screen_of(stage))
            await pilot.press("enter", "q", "y")
            await shows(pilot, "taken")
            assert done == ["y"]
            await pilot.press("escape")
            await until(pilot, lambda: "Shown once" not in screen_of(stage))

    play(scene)
