"""A one-line text field without a box, with completion. The form and the command line are made of it."""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.suggester import Suggester
from textual.widgets import Input
from textual.widgets.input import Selection

Complete = Callable[[str], Sequence[str]]
"""What a text may become, best first. Called on the event loop at every key: it must answer from memory."""

# What is pasted may hold anything. Control and bidi characters could reach the terminal from here, so none is kept.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class _First(Suggester):
    """Suggests the first completion that begins with what is typed, which is all that can be shown behind a cursor."""

    def __init__(self, complete: Complete) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        folded = value.casefold()
        return next((text for text in self._complete(value) if text.casefold().startswith(folded)), None)


class Entry(Input):
    """An `Input` in one line. The right arrow or ctrl+e at the end of the text takes the suggestion shown behind it.

    `next_match` (ctrl+n) puts one completion after another in place of what was typed, and at last the typed text.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Entry, Entry:focus {
        height: 1;
        border: none;
        padding: 0;
        background: $background;
        background-tint: transparent;
        color: $foreground;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+e", "accept", "Complete", show=False, id="entry.accept"),
        Binding("ctrl+n", "next_match", "Next match", show=False, id="entry.next"),
    ]

    def __init__(
        self,
        value: str = "",
        *,
        complete: Complete | None = None,
        placeholder: str = "",
        secret: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        suggester = None if complete is None else _First(complete)
        super().__init__(
            None, placeholder, password=secret, suggester=suggester, select_on_focus=False, compact=True, id=id
        )
        # Set without its watchers, which need a running app and would report the first value as a change.
        value = self.validate_value(value)
        self.set_reactive(Input.value, value)
        self.set_reactive(Input.selection, Selection.cursor(len(value)))
        self._initial_value = False
        # A blinking cursor repaints twice a second for nothing, which is felt over a slow link.
        self.cursor_blink = False
        self._complete = complete
        self._cycle: list[str] = []

    def on_mount(self) -> None:
        self.virtual_size = Size(self.content_width, 1)

    def validate_value(self, value: str) -> str:
        return _CONTROL.sub("", value)

    def matches(self) -> Sequence[str]:
        """What the text may become, best first."""
        return () if self._complete is None else self._complete(self.value)

    def has_suggestion(self) -> bool:
        """Whether more text is shown behind the cursor than was typed."""
        return self.cursor_at_end and len(self._suggestion) > len(self.value)

    def action_accept(self) -> None:
        """Take the suggestion, or go to the end of the text."""
        if self.has_suggestion():
            self.action_cursor_right()
        else:
            self.action_end()

    def action_next_match(self) -> None:
        """Replace the text by its next completion."""
        if self.value not in self._cycle:
            self._cycle = list(dict.fromkeys([*self.matches(), self.value]))
            following = self._cycle[0]
        else:
            following = self._cycle[(self._cycle.index(self.value) + 1) % len(self._cycle)]
        self.value = following
        self.cursor_position = len(following)
