"""A form of one line a field: a label, what is typed or chosen, and a hint at the right. Made for the keyboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message

from widgets.choice import Choice
from widgets.entry import Complete, Entry
from widgets.lines import Lines
from widgets.spans import Line
from widgets.theme import UNICODE, Glyphs


@dataclass(frozen=True, slots=True)
class Field:
    """One field. With `choices` a value is one of them; without, it is text, helped by `complete`.

    `hint` stands at the right until `set_hint` says something else. A `secret` shows dots. `heading` stands above the
    field where the form shows headings.
    """

    key: str
    label: str
    value: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] | None = None
    complete: Complete | None = None
    hint: Line = ()
    secret: bool = False
    heading: str = ""


class _Row(Horizontal):
    """A field on its line."""

    DEFAULT_CSS = """
    _Row { height: 1; }
    _Row > .label { height: 1; }
    _Row > Entry, _Row > Choice { width: 1fr; }
    _Row.-hinted > Entry, _Row.-hinted > Choice { width: 2fr; margin-right: 2; }
    _Row > .hint { width: 3fr; height: 1; display: none; }
    _Row.-hinted > .hint { display: block; }
    """

    def __init__(self, field: Field, label_width: int, value_width: int | None, glyphs: Glyphs) -> None:
        super().__init__()
        self.field = field
        self.label = Lines([[(field.label, "dim")]], glyphs=glyphs)
        self.label.add_class("label")
        self.label.styles.width = label_width
        self.hint = Lines(glyphs=glyphs)
        self.hint.add_class("hint")
        self.entry = (
            Choice(field.choices, field.value, glyphs=glyphs)
            if field.choices is not None
            else Entry(field.value, complete=field.complete, placeholder=field.placeholder, secret=field.secret)
        )
        self.value_width = value_width
        self.show_hint(field.hint)

    def compose(self) -> ComposeResult:
        yield from (self.label, self.entry, self.hint)

    def show_hint(self, hint: Line) -> None:
        self.hint.set_lines([hint] if hint else [])
        self.set_class(bool(hint), "-hinted")
        if self.value_width is not None:
            # Without a hint the value may take the whole line.
            self.entry.styles.width = self.value_width if hint else "1fr"

    @property
    def value(self) -> str:
        return self.entry.value


class Form(Vertical):
    """Fields under each other. Tab and the arrows up and down move between them; enter completes, then goes on.

    While a text can still become several things, its hint shows them; else it is what `set_hint` said last.
    """

    DEFAULT_CSS = """
    Form { height: auto; overflow-y: auto; scrollbar-size-vertical: 1; }
    Form > .heading { display: none; margin-top: 1; }
    Form > .heading.-first { margin-top: 0; }
    Form.-headed > .heading.-shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(1)", "Next field", show=False, id="form.next"),
        Binding("up", "go(-1)", "Previous field", show=False, id="form.previous"),
        Binding("enter", "enter", "Next field", show=False, id="form.enter"),
    ]

    @dataclass
    class Changed(Message):
        """The value of one field changed, by hand or by `set_value`."""

        form: "Form"
        key: str
        value: str

        @property
        def control(self) -> "Form":
            return self.form

    @dataclass
    class Submitted(Message):
        """Enter was pressed on the last field that is shown."""

        form: "Form"
        values: dict[str, str]

        @property
        def control(self) -> "Form":
            return self.form

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        label_width: int = 11,
        value_width: int | None = None,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(id=id)
        self._rows = {field.key: _Row(field, label_width, value_width, glyphs) for field in fields}
        self._headings = {field.key: _heading(field.heading, glyphs) for field in fields if field.heading}
        for first in list(self._headings.values())[:1]:
            first.add_class("-first")
        self._hints: dict[str, Line] = {field.key: field.hint for field in fields}
        self._between = f" {glyphs.between} "

    def compose(self) -> ComposeResult:
        for key, row in self._rows.items():
            if key in self._headings:
                yield self._headings[key]
            yield row

    @property
    def values(self) -> dict[str, str]:
        """All values by the key of their field, those of hidden fields too."""
        return {key: row.value for key, row in self._rows.items()}

    @property
    def focused_key(self) -> str | None:
        """The key of the field that has the focus."""
        return next((key for key, row in self._rows.items() if row.entry.has_focus), None)

    def set_value(self, key: str, value: str) -> None:
        """Put a value into a field. For a field of choices, one that is not among them is ignored."""
        entry = self._rows[key].entry
        if isinstance(entry, Choice):
            entry.choose(value)
        else:
            entry.value = value
            entry.cursor_position = len(entry.value)

    def set_hint(self, key: str, hint: Line) -> None:
        """Say something at the right of a field."""
        self._hints[key] = hint
        self._show_hint(key)

    def set_choices(self, key: str, choices: Sequence[str]) -> None:
        """Offer other choices in a field that was made with choices."""
        entry = self._rows[key].entry
        if isinstance(entry, Choice):
            entry.offer(choices)

    def set_placeholder(self, key: str, text: str) -> None:
        """Say what an empty field of text stands for."""
        entry = self._rows[key].entry
        if isinstance(entry, Entry):
            entry.placeholder = text

    def show_only(self, keys: Sequence[str], *, headed: bool = False) -> None:
        """Show these fields and hide the others, as for a novice; with the headings that they have, or without."""
        for key, row in self._rows.items():
            row.display = key in keys
        for key, heading in self._headings.items():
            heading.set_class(key in keys, "-shown")
        self.set_class(headed, "-headed")

    def focus_field(self, key: str) -> None:
        """Give the focus to a field."""
        self._rows[key].entry.focus()

    def action_go(self, by: int) -> None:
        keys = [key for key, row in self._rows.items() if row.display]
        here = self.focused_key
        if here in keys:
            self.focus_field(keys[max(0, min(len(keys) - 1, keys.index(here) + by))])

    def action_enter(self) -> None:
        here = self.focused_key
        entry = None if here is None else self._rows[here].entry
        if isinstance(entry, Entry) and entry.has_suggestion():
            entry.action_accept()
        elif here == [key for key, row in self._rows.items() if row.display][-1]:
            self.post_message(self.Submitted(self, self.values))
        else:
            self.action_go(1)

    @on(Entry.Submitted)
    def _entered(self, event: Entry.Submitted) -> None:
        event.stop()
        self.action_enter()

    @on(Entry.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Entry.Changed | Choice.Changed) -> None:
        event.stop()
        key = next(key for key, row in self._rows.items() if row.entry is event.control)
        self._show_hint(key)
        self.post_message(self.Changed(self, key, event.value))

    def on_descendant_focus(self) -> None:
        self._show_hints()

    def on_descendant_blur(self) -> None:
        self._show_hints()

    def _show_hints(self) -> None:
        for key in self._rows:
            self._show_hint(key)

    def _show_hint(self, key: str) -> None:
        row = self._rows[key]
        others: Sequence[str] = []
        if isinstance(row.entry, Entry) and row.entry.has_focus and row.entry.value:
            matches = list(row.entry.matches())
            others = [] if row.entry.value in matches else _ends(matches)
        row.show_hint([(self._between.join(others), "dim")] if len(others) > 1 else self._hints[key])


def _heading(text: str, glyphs: Glyphs) -> Lines:
    heading = Lines([[(text, "strong")]], glyphs=glyphs)
    heading.add_class("heading")
    return heading


def _ends(paths: Sequence[str]) -> Sequence[str]:
    """What tells paths from each other: without the folder, if all are in one."""
    folders = {path.rstrip("/").rpartition("/")[0] for path in paths}
    if len(folders) != 1:
        return paths
    (folder,) = folders
    return [path.removeprefix(f"{folder}/") for path in paths]
