"""Header, message line, key line, dialogs, and blocks of lines."""

import pytest
from textual.strip import Strip

from tests.widgets.support import LARGE, SMALL, Stage, golden, lines_of, play, screen_of, until
from widgets.chrome import Header, KeyLine, MessageLine, Rule
from widgets.dialogs import ConfirmDialog, HelpScreen, Section
from widgets.lines import Lines
from widgets.spans import Line, plain
from widgets.theme import ASCII

TABS = [("1", "fleet"), ("2", "launch"), ("3", "logs"), ("4", "play"), ("5", "ledger"), ("6", "access"), ("7", "hosts")]
NAMES = [f"{key} {label}" for key, label in TABS]
MONEY: Line = [("41.20 USD", "plain"), ("   2.31/h   17 h left", "dim")]
KEYS = [("enter", "open"), ("l", "launch"), ("L", "logs"), ("p", "play"), ("s", "stop"), ("f", "fix"), ("/", "filter"),
        (":", "command"), ("?", "help"), ("q", "leave")]  # fmt: skip
SECTIONS: list[Section] = [
    ("Anywhere", [("1 … 7", "go to a screen"), (":", "any command"), ("?", "help"), ("q", "leave, all keeps running")]),
    ("Fleet", [("enter", "open the deployment"), ("f", "list what would mend it"), ("s", "stop"), ("/", "filter")]),
    ("Logs", [("v", "start a selection"), ("y", "copy it"), ("n N", "next and previous hit")]),
]  # fmt: skip


@pytest.mark.parametrize(("size", "name"), [(SMALL, "chrome-80"), (LARGE, "chrome-120")])
def test_the_frame_at_two_sizes(size: tuple[int, int], name: str) -> None:
    async def scene() -> None:
        header, message, keys = Header("stoker"), MessageLine(), KeyLine(KEYS)
        app = Stage(header, Rule(), Lines([[("a region", "plain")]]), Rule(), message, keys)
        async with app.on_stage(size) as pilot:
            header.set_tabs(TABS, "1")
            header.set_right(MONEY)
            message.progress([("gpu1:2 loading weights for embed", "plain")], 0.62, [("3.1/5.0 GiB  8 s left", "dim")])
            await pilot.pause()
            golden(name, screen_of(app))

    play(scene)


def test_a_narrow_header_keeps_the_active_tab() -> None:
    async def scene() -> None:
        header = Header("stoker")
        app = Stage(header)
        async with app.on_stage((60, 16)) as pilot:
            header.set_tabs(TABS, "3")
            header.set_right(MONEY)
            await pilot.pause()
            assert lines_of(app)[0] == " stoker  1 2 3 logs 4 5 6 7  41.20 USD   2.31/h   17 h left"
            await pilot.click(Header, offset=(11, 0))
            await pilot.click(Header, offset=(40, 0))
            assert [message.key for message in app.said(Header.TabSelected)] == ["2"]

    play(scene)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (110, f" stoker  {'  '.join(NAMES)}        41.20 USD   2.31/h   17 h left"),
        (80, f" {'  '.join(NAMES)}       17 h left"),
        (72, f" {' '.join(NAMES)}     17 h left"),
        (60, " stoker  1 fleet  2 launch  3 logs  4 5 6 7       17 h left"),
    ],
)
def test_names_of_tabs_are_the_last_to_give_way(width: int, shown: str) -> None:
    header = Header("stoker")
    header.set_tabs(TABS, "3")
    header.set_right(MONEY, [("17 h left", "dim")])
    assert plain(header.spans(width)).rstrip() == shown


def test_messages_come_before_progress_and_fade() -> None:
    async def scene() -> None:
        message = MessageLine(glyphs=ASCII)
        app = Stage(message)
        async with app.on_stage() as pilot:
            message.progress([("pulling", "plain")], None)
            await pilot.pause()
            assert lines_of(app)[0] == " pulling  " + "." * 40
            message.show([("copied 3 lines", "plain")], seconds=0.01)
            assert "copied" in message.spans(80)[1][0]
            await until(pilot, lambda: lines_of(app)[0].startswith(" pulling"))
            message.clear()
            await pilot.pause()
            assert lines_of(app)[0] == ""

    play(scene)


def test_keys_that_do_not_fit_go_but_help_and_leave_stay() -> None:
    async def scene() -> None:
        keys = KeyLine(KEYS)
        app = Stage(keys)
        async with app.on_stage((40, 10)) as pilot:
            assert lines_of(app)[0] == " enter open  l launch  ? help  q leave"
            await pilot.click(KeyLine, offset=(14, 0))
            assert [message.key for message in app.said(KeyLine.Pressed)] == ["l"]
            keys.set_keys([("y", "copy")])
            await pilot.pause()
            assert lines_of(app)[0] == " y copy"

    play(scene)


def test_only_y_and_a_click_on_it_destroy() -> None:
    async def scene() -> None:
        app = Stage(Lines([[("behind", "plain")]]))
        answers: list[bool | None] = []
        async with app.on_stage() as pilot:
            for key in ("enter", "n", "escape", "q", "x", "y"):
                dialog = ConfirmDialog(
                    [("Stop and remove ", "plain"), ("chat", "strong"), ("?", "plain")],
                    [[("2 instances on gpu1 end, 14 requests in flight are cut off.", "dim")]],
                    yes="remove chat",
                )
                app.push_screen(dialog, answers.append)
                await pilot.pause()
                if key == "x":
                    golden("confirm-80", screen_of(app))
                    await pilot.press("x")
                    assert app.screen is dialog
                    await pilot.click(KeyLine, offset=(3, 0))
                else:
                    await pilot.press(key)
                await until(pilot, lambda dialog=dialog: app.screen is not dialog)  # type: ignore[misc]  # bound in time
            assert answers == [False, False, False, False, True, True]

    play(scene)


@pytest.mark.parametrize(("size", "name"), [((80, 14), "help-80"), (LARGE, "help-120")])
def test_help_shows_a_table_and_scrolls(size: tuple[int, int], name: str) -> None:
    async def scene() -> None:
        app = Stage(Lines([[("behind", "plain")]]))
        async with app.on_stage(size) as pilot:
            app.push_screen(HelpScreen("Keys of this screen", SECTIONS))
            await pilot.pause()
            golden(name, screen_of(app))
            await pilot.press("G")
            await until(pilot, lambda: any("next and previous hit" in line for line in lines_of(app)))
            await pilot.press("question_mark")
            await until(pilot, lambda: lines_of(app)[0] == "behind")

    play(scene)


class Counted(Lines):
    """A block that notes which of its lines were rendered."""

    drawn: list[int]

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


def test_a_block_draws_only_lines_that_differ() -> None:
    async def scene() -> None:
        block = Counted([[("one", "plain")], [("two", "plain")], [("three", "plain")]])
        block.drawn = []
        app = Stage(block)
        async with app.on_stage() as pilot:
            block.drawn.clear()
            block.set_lines([[("one", "plain")], [("[b]2[/b]", "red")], [("three", "plain")]])
            await pilot.pause()
            assert block.drawn == [1]
            assert lines_of(app)[:3] == ["one", "[b]2[/b]", "three"]
            block.set_lines([])
            await pilot.pause()
            assert screen_of(app) == "\n"

    play(scene)
