"""What comes up over a screen and asks or explains: both stand at the bottom under a rule, not in a box."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from widgets.chrome import KeyLine, Rule
from widgets.lines import Lines
from widgets.plot import beside
from widgets.spans import Line, cut_line, fit
from widgets.theme import UNICODE, Glyphs

Section = tuple[str, Sequence[tuple[str, str]]]
"""A heading and its rows: keys, and what they do."""

_CSS = """
{name} { align: left bottom; background: $background 0%; }
{name} > Vertical { height: auto; max-height: 100%; background: $background; }
"""


class ConfirmDialog(ModalScreen[bool]):
    """Asks before something is destroyed, and names it. True only for `y`; enter, n, q and escape all keep it."""

    DEFAULT_CSS = _CSS.replace("{name}", "ConfirmDialog")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,q,escape,enter", "answer(False)", "No", id="confirm.no"),
    ]

    def __init__(
        self, title: Line, body: Sequence[Line], *, yes: str, no: str = "keep", glyphs: Glyphs = UNICODE
    ) -> None:
        """`title` says what would happen and to what, `body` what goes with it; `yes` and `no` name the two keys."""
        super().__init__()
        self._title_line, self._body, self._yes, self._no, self._glyphs = title, body, yes, no, glyphs

    def compose(self) -> ComposeResult:
        lines: list[Line] = [[(" ", "plain"), *line] for line in (self._title_line, *self._body)]
        with Vertical():
            yield Rule(glyphs=self._glyphs)
            yield Lines([*lines, ()], glyphs=self._glyphs)
            yield KeyLine((("y", self._yes), ("n", self._no)), glyphs=self._glyphs)

    def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        self.action_answer(message.key == "y")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class HelpScreen(ModalScreen[None]):
    """Shows a table of keys by section. In two columns where there is room, scrolling where there is not."""

    DEFAULT_CSS = _CSS.replace("{name}", "HelpScreen") + "HelpScreen #help { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", "Close", id="help.close")]

    def __init__(self, title: str, sections: Sequence[Section], *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self._heading, self._sections, self._glyphs = title, sections, glyphs

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Rule(glyphs=self._glyphs)
            yield Lines([[(f" {self._heading}", "strong")], ()], glyphs=self._glyphs)
            yield Lines(glyphs=self._glyphs, focusable=True, id="help")
            yield KeyLine((("j k", "scroll"), ("esc", "close")), glyphs=self._glyphs)

    def on_mount(self) -> None:
        self.query_one("#help", Lines).focus()

    def on_resize(self) -> None:
        lines = help_lines(self._sections, self.size.width, self._glyphs)
        self.query_one("#help", Lines).set_lines(lines)
        self.query_one(Vertical).styles.height = min(len(lines) + 4, self.size.height)

    def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        if message.key == "esc":
            self.action_close()

    def action_close(self) -> None:
        self.dismiss(None)


def help_lines(sections: Sequence[Section], width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The sections as lines of at most `width` columns; from 100 columns on in two blocks of much the same height."""
    keys = max((len(key) for _, rows in sections for key, _ in rows), default=0)
    blocks: list[list[Line]] = []
    for title, rows in sections:
        block: list[Line] = [[(f" {title}", "dim")]]
        block += [[(f" {fit(key, keys)}", "accent"), (f"  {what}", "plain")] for key, what in rows]
        blocks.append([*block, ()])
    if width < 100:
        return [cut_line(line, width, glyphs.ellipsis) for block in blocks for line in block]
    half = (width - 2) // 2
    left: list[Line] = []
    right: list[Line] = []
    height = sum(len(block) for block in blocks)
    for block in blocks:
        side = left if not right and len(left) + len(block) / 2 <= height / 2 else right
        side.extend(cut_line(line, half, glyphs.ellipsis) for line in block)
    return beside(left, right, half)
