"""A one-line field for one of a few values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from widgets.lines import Bar
from widgets.spans import Line
from widgets.theme import UNICODE, Glyphs


class Choice(Bar, can_focus=True):
    """One of a few values: left and right go through them, a letter goes to the next that begins with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space,l", "step(1)", "Next", show=False, id="choice.next"),
        Binding("left,h", "step(-1)", "Previous", show=False, id="choice.previous"),
    ]

    @dataclass
    class Changed(Message):
        """Another value was chosen."""

        choice: "Choice"
        value: str

        @property
        def control(self) -> "Choice":
            return self.choice

    def __init__(self, choices: Sequence[str], value: str = "", *, glyphs: Glyphs = UNICODE) -> None:
        super().__init__(glyphs=glyphs)
        self.choices = tuple(choices)
        self.value = value if value in self.choices else (self.choices[0] if self.choices else "")

    def spans(self, width: int) -> Line:
        if not self.has_focus:
            return [(self.value, "plain")]
        arrows = f"  {self.glyphs.left} {self.glyphs.right}" if len(self.choices) > 1 else ""
        return [(self.value, "accent"), (arrows, "dim")]

    def choose(self, value: str) -> None:
        """Choose `value` if it is one of the choices."""
        if value in self.choices and value != self.value:
            self.value = value
            self.refresh()
            self.post_message(self.Changed(self, value))

    def offer(self, choices: Sequence[str]) -> None:
        """Offer other choices; the value stays if it is among them, else it becomes the first."""
        self.choices = tuple(choices)
        if self.value not in self.choices and self.choices:
            self.choose(self.choices[0])
        self.refresh()

    def action_step(self, by: int) -> None:
        if self.choices:
            self.choose(self.choices[(self.choices.index(self.value) + by) % len(self.choices)])

    def on_key(self, event: events.Key) -> None:
        letter = (event.character or "").casefold()
        if not letter.isalnum() or event.key in ("h", "l", "space"):
            return
        event.stop()
        here = self.choices.index(self.value) if self.value in self.choices else -1
        following = [*self.choices[here + 1 :], *self.choices[: here + 1]]
        self.choose(next((each for each in following if each.casefold().startswith(letter)), self.value))

    def on_click(self) -> None:
        self.action_step(1)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
