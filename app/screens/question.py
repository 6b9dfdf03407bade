"""The line of the playground that a question is typed into: earlier ones come back, and it may hold line breaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from widgets.entry import Entry

BREAK = "\N{RETURN SYMBOL}"
"""Stands for a line break within the one line."""


class QuestionEntry(Entry):
    """Up and down go through earlier questions. What is pasted keeps its lines, each break shown as a sign."""

    # The keys of the playground that an entry would take for itself; their ids let a keymap move them together.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recall(-1)", "Older", show=False, id="question.older"),
        Binding("down", "recall(1)", "Newer", show=False, id="question.newer"),
        Binding("ctrl+n", "app.run('play.new')", "New", show=False, id="play.new"),
        Binding("ctrl+x", "app.run('play.halt')", "Stop", show=False, id="play.halt"),
    ]

    @dataclass
    class Asked(Message):
        """Enter was pressed on a question."""

        question: str

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder)
        self._earlier: list[str] = []
        self._recalled = 0
        self._draft = ""

    def set_earlier(self, questions: Sequence[str]) -> None:
        """The questions that can be recalled, oldest first."""
        self._earlier = list(questions)
        self._recalled = len(self._earlier)

    def action_recall(self, by: int) -> None:
        if self._recalled == len(self._earlier):
            self._draft = self.value
        self._recalled = max(0, min(len(self._earlier), self._recalled + by))
        self.value = [*self._earlier, self._draft][self._recalled].replace("\n", BREAK)
        self.cursor_position = len(self.value)

    async def action_submit(self) -> None:
        question = self.value.replace(BREAK, "\n").strip()
        if question:
            self.post_message(self.Asked(question))

    def accept(self, question: str) -> None:
        """The question was sent: the line is empty again, and it can be recalled."""
        self.value = ""
        self.set_earlier([*(q for q in self._earlier if q != question), question][-200:])

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = BREAK.join(event.text.rstrip().expandtabs(4).splitlines())
        if self.selection.is_empty:
            self.insert_text_at_cursor(text)
        else:
            self.replace(text, *self.selection)
