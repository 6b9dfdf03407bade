"""The line at the bottom where a command or a search is typed, with completion and history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget

from widgets.entry import Complete, Entry
from widgets.lines import Lines

HISTORY = 200
"""How many lines are remembered."""


class CommandLine(Horizontal):
    """A prompt (`:` or `/`) and what is typed behind it. Hidden until `ask`, and hidden again when it has an answer.

    Tab goes through the completions, the right arrow takes the one shown; up and down go through the history, which is
    the caller's to keep: it is given once and read back from `history`.
    """

    DEFAULT_CSS = """
    CommandLine { height: 1; display: none; }
    CommandLine > Lines { width: 2; }
    CommandLine > Entry { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "next_match", "Complete", show=False, id="prompt.complete", priority=True),
        Binding("up", "recall(-1)", "Older", show=False, id="prompt.older", priority=True),
        Binding("down", "recall(1)", "Newer", show=False, id="prompt.newer", priority=True),
        Binding("escape", "cancel", "Cancel", show=False, id="prompt.cancel", priority=True),
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed. `prompt` is the sign that the line was asked for with."""

        prompt: str
        text: str

    @dataclass
    class Typing(Message):
        """The text changed, for a filter that follows what is typed."""

        prompt: str
        text: str

    @dataclass
    class Cancelled(Message):
        """Escape was pressed."""

        prompt: str

    def __init__(
        self,
        *,
        complete: Complete | None = None,
        history: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(id=id)
        self.history = list(history)[-HISTORY:]
        self._sign = Lines()
        self._entry = Entry(complete=self._completions)
        self._complete = complete
        self._prompt = ":"
        self._recalled = 0
        self._draft = ""
        self._before: Widget | None = None

    def compose(self) -> ComposeResult:
        yield from (self._sign, self._entry)

    def ask(self, prompt: str = ":", text: str = "") -> None:
        """Show the line with the focus, which goes back to where it was when there is an answer."""
        self._prompt = prompt
        if not self.display:
            self._before = self.screen.focused
        self._recalled, self._draft = len(self.history), ""
        self._sign.set_lines([[(f" {prompt}", "accent")]])
        self.display = True
        self._entry.value = text
        self._entry.cursor_position = len(self._entry.value)
        self.screen.set_focus(self._entry)  # at once: later, somebody else could have taken it

    def action_next_match(self) -> None:
        self._entry.action_next_match()

    def action_recall(self, by: int) -> None:
        """Go through the history; after its newest line comes what was being typed."""
        if self._recalled == len(self.history):
            self._draft = self._entry.value
        self._recalled = max(0, min(len(self.history), self._recalled + by))
        self._entry.value = [*self.history, self._draft][self._recalled]
        self._entry.cursor_position = len(self._entry.value)

    def action_cancel(self) -> None:
        self._leave()
        self.post_message(self.Cancelled(self._prompt))

    @on(Entry.Submitted)
    def _submitted(self, event: Entry.Submitted) -> None:
        event.stop()
        if event.value and event.value not in self.history[-1:]:
            self.history = [*self.history, event.value][-HISTORY:]
        self._leave()
        self.post_message(self.Submitted(self._prompt, event.value))

    @on(Entry.Changed)
    def _typed(self, event: Entry.Changed) -> None:
        event.stop()
        if self.display:
            self.post_message(self.Typing(self._prompt, event.value))

    def _completions(self, text: str) -> Sequence[str]:
        # A search has no completions: what is typed behind `/` is not a command.
        return self._complete(text) if self._complete is not None and self._prompt == ":" else ()

    def _leave(self) -> None:
        self.display = False
        if self._entry.has_focus:
            before = self._before
            self.screen.set_focus(before if before is not None and before.is_attached else None)
