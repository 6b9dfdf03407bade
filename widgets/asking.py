"""More that comes up over a screen: a list to pick from, a small form, and a sheet that shows something once."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from widgets.chrome import KeyLine, Rule
from widgets.columns import Column
from widgets.form import Field, Form
from widgets.lines import Lines
from widgets.spans import Line, fold
from widgets.table import LineTable
from widgets.theme import UNICODE, Glyphs

_CSS = """
{name} { align: left bottom; background: $background 0%; }
{name} > Vertical { height: auto; max-height: 100%; background: $background; }
"""
_AROUND = 4
"""Lines of a dialog around what it is about: rule, title, a blank one, keys."""


class PickDialog(ModalScreen[str | None]):
    """One row of a table to pick, by cursor or by typing a key of one character; its key, None if none was.

    `keys` leave the list and do something else with the row under the cursor: (key, label, what to call with its key).
    """

    DEFAULT_CSS = _CSS.replace("{name}", "PickDialog")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave", id="pick.leave")]

    def __init__(
        self,
        title: Line,
        columns: Sequence[Column],
        rows: Sequence[tuple[str, Line]],
        *,
        keys: Sequence[tuple[str, str, Callable[[str], None]]] = (),
        glyphs: Glyphs = UNICODE,
    ) -> None:
        super().__init__()
        self._title_line, self._columns, self._rows, self._glyphs = title, columns, rows, glyphs
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Rule(glyphs=self._glyphs)
            yield Lines([[(" ", "plain"), *self._title_line]], glyphs=self._glyphs)
            yield LineTable(self._columns, glyphs=self._glyphs)
            more = [(key, label) for key, label, _ in self._keys]
            yield KeyLine((("enter", "pick"), *more, ("esc", "leave")), glyphs=self._glyphs)

    def on_mount(self) -> None:
        table = self.query_one(LineTable)
        table.set_rows(self._rows)
        table.focus()

    def on_resize(self) -> None:
        height = min(len(self._rows) + 1, max(3, self.size.height - _AROUND))
        self.query_one(LineTable).styles.height = height

    @on(LineTable.RowSelected)
    def _picked(self, event: LineTable.RowSelected) -> None:
        self.dismiss(event.key)

    def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        if message.key == "esc":
            self.action_leave()
        elif message.key == "enter":
            self.query_one(LineTable).action_select()
        else:
            self._do(message.key)

    def on_key(self, event: events.Key) -> None:
        if any(event.character == key for key, _ in self._rows):
            event.stop()
            self.dismiss(event.character)
        elif self._do(event.key):
            event.stop()

    def _do(self, pressed: str) -> bool:
        under_cursor = self.query_one(LineTable).cursor_key
        found = [call for key, _, call in self._keys if key == pressed and under_cursor is not None]
        if found:
            self.dismiss(None)
        for call in found:
            call(under_cursor or "")
        return bool(found)

    def action_leave(self) -> None:
        self.dismiss(None)


class FormDialog(ModalScreen[Mapping[str, str] | None]):
    """A few fields to fill in; their values by key, None if it was left.

    `check` looks at the values when they are given: a field's key and what is wrong with it, or None if they are good.
    """

    DEFAULT_CSS = _CSS.replace("{name}", "FormDialog") + "FormDialog Form { margin-left: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", id="form_dialog.leave"),
        Binding("ctrl+l", "give", "Go", id="form_dialog.give"),
    ]

    def __init__(
        self,
        title: Line,
        fields: Sequence[Field],
        *,
        yes: str,
        check: Callable[[Mapping[str, str]], tuple[str, str] | None] = lambda values: None,
        glyphs: Glyphs = UNICODE,
    ) -> None:
        super().__init__()
        self._title_line, self._fields, self._yes, self._check, self._glyphs = title, fields, yes, check, glyphs

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Rule(glyphs=self._glyphs)
            yield Lines([[(" ", "plain"), *self._title_line], ()], glyphs=self._glyphs)
            yield Form(self._fields, glyphs=self._glyphs)
            yield Lines(id="wrong", glyphs=self._glyphs)
            yield KeyLine((("enter", "next"), ("ctrl+l", self._yes), ("esc", "leave")), glyphs=self._glyphs)

    def on_mount(self) -> None:
        self.query_one(Form).focus_field(self._fields[0].key)

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.action_give()

    def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        if message.key == "esc":
            self.action_leave()
        elif message.key == "enter":
            self.query_one(Form).action_enter()
        else:
            self.action_give()

    def action_give(self) -> None:
        form = self.query_one(Form)
        values = form.values
        wrong = self._check(values)
        if wrong is None:
            self.dismiss(values)
            return
        key, text = wrong
        self.query_one("#wrong", Lines).set_lines([[(f" {self._glyphs.failed} ", "bad"), (text, "plain")]])
        form.focus_field(key)

    def action_leave(self) -> None:
        self.dismiss(None)


class Sheet(ModalScreen[None]):
    """Lines to read, folded to the width, with keys that do something with them and say what they did.

    Only escape closes it, so that nothing is lost by chance. `indent` is where a folded line goes on. `keys` are
    (key, label, what to call).
    """

    DEFAULT_CSS = _CSS.replace("{name}", "Sheet") + "Sheet #lines { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Close", id="sheet.close")]

    def __init__(
        self,
        title: Line,
        lines: Sequence[Line],
        keys: Sequence[tuple[str, str, Callable[[], str]]] = (),
        *,
        indent: int = 1,
        glyphs: Glyphs = UNICODE,
    ) -> None:
        super().__init__()
        self._title_line, self._lines, self._keys, self._glyphs = title, lines, keys, glyphs
        self._indent = indent

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Rule(glyphs=self._glyphs)
            yield Lines([[(" ", "plain"), *self._title_line]], glyphs=self._glyphs)
            yield Lines([()], glyphs=self._glyphs, id="note")
            yield Lines(glyphs=self._glyphs, focusable=True, id="lines")
            keys = [(key, label) for key, label, _ in self._keys]
            yield KeyLine((*keys, ("j k", "scroll"), ("esc", "close")), glyphs=self._glyphs)

    def on_mount(self) -> None:
        self.query_one("#lines", Lines).focus()

    def on_resize(self) -> None:
        lines = [part for line in self._lines for part in fold(line, self.size.width - 1, self._indent)]
        self.query_one("#lines", Lines).set_lines(lines)
        self.query_one(Vertical).styles.height = min(len(lines) + _AROUND, self.size.height)

    def on_key(self, event: events.Key) -> None:
        if self._do(event.key):
            event.stop()

    def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        if message.key == "esc":
            self.action_close()
        else:
            self._do(message.key)

    def action_close(self) -> None:
        self.dismiss(None)

    def _do(self, pressed: str) -> bool:
        found = [call for key, _, call in self._keys if key == pressed]
        for call in found:
            self.query_one("#note", Lines).set_lines([[(f" {call()}", "accent")]])
        return bool(found)
