"""The table that is given its rows as they come into view: what is chosen ahead of its row is not lost."""

from tests.widgets.support import Stage, play, screen_of, until
from widgets.columns import Column
from widgets.spans import Line
from widgets.windowtable import WindowTable

COLUMNS = (Column("name", "NAME", 12, priority=9),)
TOTAL = 1_000


def rows(start: int, behind: int) -> list[tuple[str, Line]]:
    """The rows from number `start` to the one in front of `behind`."""
    return [(f"k{n}", [(f"row {n}", "plain")]) for n in range(start, behind)]


def test_a_row_that_is_chosen_before_it_is_known_is_told_once_it_is() -> None:
    async def scene() -> None:
        table = WindowTable(COLUMNS)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.focus()
            table.set_total(TOTAL)
            table.set_window(0, rows(0, 40))
            await pilot.press("G")
            await until(pilot, lambda: table.wanted[1] == TOTAL)
            await pilot.press("enter")
            assert app.said(WindowTable.RowSelected) == []
            first, behind = table.wanted
            table.set_window(first, rows(first, behind))
            await until(pilot, lambda: app.said(WindowTable.RowSelected))
            assert [message.key for message in app.said(WindowTable.RowSelected)] == [f"k{TOTAL - 1}"]
            table.set_window(first, rows(first, behind))
            await until(pilot, lambda: f"row {TOTAL - 1}" in screen_of(app))
            await pilot.press("g")
            await pilot.press("enter")
            await pilot.press("j")
            table.set_window(0, rows(0, 40))
            await pilot.press("enter")
            await until(pilot, lambda: len(app.said(WindowTable.RowSelected)) > 1)
            assert [message.key for message in app.said(WindowTable.RowSelected)] == [f"k{TOTAL - 1}", "k1"]

    play(scene)
