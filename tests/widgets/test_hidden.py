"""What is told something while it is hidden shows that when it is seen again, not what it drew before."""

from collections.abc import Callable

import pytest
from textual.containers import Vertical
from textual.widget import Widget

from tests.widgets.support import Stage, play, screen_of, until
from widgets.columns import Column
from widgets.lines import Lines
from widgets.table import LineTable


def say_line(widget: Widget, text: str) -> None:
    assert isinstance(widget, Lines)
    widget.set_lines([[(text, "plain")]])


def say_row(widget: Widget, text: str) -> None:
    assert isinstance(widget, LineTable)
    widget.set_rows([("1", [("first", "plain")]), ("2", [(text, "plain")])])


@pytest.mark.parametrize(
    ("make", "say"), [(Lines, say_line), (lambda: LineTable([Column("a", "A")]), say_row)], ids=["lines", "table"]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_nothing_old_comes_back(make: Callable[[], Widget], say: Callable[[Widget, str], None], at_once: bool) -> None:
    async def scene() -> None:
        widget = make()
        around = Vertical(widget)
        stage = Stage(around)
        async with stage.on_stage() as pilot:
            say(widget, "before")
            await until(pilot, lambda: "before" in screen_of(stage))
            around.display = False
            await until(pilot, lambda: "before" not in screen_of(stage))
            if at_once:
                around.display = True
            say(widget, "after")
            await pilot.pause()
            around.display = True
            await until(pilot, lambda: "after" in screen_of(stage))
            assert "before" not in screen_of(stage)

    play(scene)
