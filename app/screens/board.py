"""The columns of the playground: who is asked, side by side or one at a time, and what is done with all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import DescendantFocus
from textual.message import Message

from app.domain.chat import COLUMNS, ChatSettings, Target, Turn, messages, request_body
from app.render.targets import Candidate
from app.screens.column import Best, TalkColumn
from app.talk import Client
from widgets.lines import Lines
from widgets.prose import Prose
from widgets.spans import Line, Span
from widgets.theme import Glyphs

WIDE = 100
"""From this width on the columns stand side by side; below, one at a time."""


class TalkBoard(Vertical):
    """Up to four columns, one of which is where you are."""

    DEFAULT_CSS = """
    TalkBoard { height: 1fr; }
    TalkBoard > #columns { height: 1fr; }
    TalkBoard > #tabs { height: 1; display: none; }
    TalkBoard.-narrow.-many > #tabs { display: block; }
    TalkBoard.-narrow TalkColumn { display: none; }
    TalkBoard.-narrow TalkColumn.-active { display: block; }
    """

    @dataclass
    class Said(Message):
        """A column has something to keep."""

        column: TalkColumn
        turn: Turn

    def __init__(self, *, glyphs: Glyphs, slow: bool, line: Callable[..., Line], currency: str) -> None:
        """`line` makes pieces of text fit for a widget; costs are in `currency`."""
        super().__init__()
        self.columns: list[TalkColumn] = []
        self._active = 0
        self._candidates: Sequence[Candidate] = ()
        self._glyphs, self._slow, self._line, self._currency = glyphs, slow, line, currency

    def compose(self) -> ComposeResult:
        yield Lines(glyphs=self._glyphs, id="tabs")
        yield Horizontal(id="columns")

    def on_resize(self) -> None:
        self.set_class(self.app.size.width < WIDE, "-narrow")

    @property
    def here(self) -> TalkColumn | None:
        """The column where you are."""
        return self.columns[self._active] if self.columns else None

    @property
    def answering(self) -> bool:
        """Whether an answer is under way in any of them."""
        return any(column.answering for column in self.columns)

    @property
    def empty(self) -> bool:
        """Whether nothing was asked yet."""
        return not any(column.turns or column.answering for column in self.columns)

    def begin(self, columns: Sequence[tuple[Target, tuple[Turn, ...]]]) -> None:
        """Another conversation: these targets, each with what was said earlier."""
        for column in self.columns:
            column.stop()
            column.remove()
        self.columns, self._active = [], 0
        for target, turns in columns:
            self.add(target, turns)
        self._active = 0
        self._draw()

    def add(self, target: Target, turns: tuple[Turn, ...] = ()) -> None:
        """Ask this one as well."""
        taken = {column.place for column in self.columns}
        place = next(n for n in range(1, COLUMNS + 1) if n not in taken)
        column = TalkColumn(target, turns, place=place, glyphs=self._glyphs, slow=self._slow, currency=self._currency)
        self.columns.append(column)
        self._active = len(self.columns) - 1
        self.query_one("#columns").mount(column)
        self._draw()

    def drop(self) -> None:
        """Ask the one here no longer."""
        column = self.columns.pop(self._active)
        column.stop()
        column.remove()
        self._active = max(0, min(self._active, len(self.columns) - 1))
        self._draw()
        self.focus_text()

    def move(self, by: int) -> None:
        """Go to the next column, or the one before."""
        if self.columns:
            self._active = (self._active + by) % len(self.columns)
            self._draw()
            self.focus_text()

    def focus_text(self) -> None:
        """Give the focus to what was said here."""
        if self.here is not None:
            self.here.focus_text()

    def ask(self, client: Client, question: str, settings: ChatSettings) -> None:
        """Ask all of them at once, each behind what was said in its column."""
        for column in self.columns:
            conversation = messages(column.turns, question, settings.system)
            column.ask(client, question, request_body(column.target.model, conversation, settings))
        self._draw()

    def stop(self) -> None:
        """Break off every answer that is under way."""
        for column in self.columns:
            column.stop()

    def show(self, candidates: Sequence[Candidate]) -> None:
        """Show above each column how the one that it asks is."""
        self._candidates = candidates
        self._draw()

    @on(TalkColumn.Ended)
    def _ended(self, event: TalkColumn.Ended) -> None:
        event.stop()
        if event.column in self.columns:
            self.post_message(self.Said(event.column, event.turn))
        if not self.answering:
            best = _best([column.turns[-1] for column in self.columns if column.turns])
            for column in self.columns:
                column.mark(best)
        self._draw()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        column = event.widget.parent
        if isinstance(event.widget, Prose) and isinstance(column, TalkColumn) and column in self.columns:
            self._active = self.columns.index(column)
            self._draw()

    def _draw(self) -> None:
        known = {candidate.target: candidate for candidate in self._candidates}
        many = len(self.columns) > 1
        self.set_class(many, "-many")
        tabs: list[Span] = []
        for n, column in enumerate(self.columns):
            here = n == self._active
            column.set_class(here, "-active")
            found = known.get(column.target)
            column.set_head(self._head(column, found, here and many))
            if found is not None:
                column.set_price(found.price)
            sign = f"{self._glyphs.under_way} " if column.answering else ""
            tabs.append((f" {sign}{column.target.model} ", "accent" if here else "dim"))
        self.query_one("#tabs", Lines).set_lines([tabs])

    def _head(self, column: TalkColumn, found: Candidate | None, marked: bool) -> Line:
        name: Span = ((self._glyphs.cursor if marked else " ") + column.target.model, "accent" if marked else "strong")
        if found is None:
            return self._line(name, (f"  {self._glyphs.unreachable} not there", "look"))
        return self._line(name, (f"  variant {found.number}  ", "dim"), (found.state.text, found.state.tone))


def _best(turns: Sequence[Turn]) -> Best:
    """The best figures of a round; of one alone nothing is the best."""
    times = [turn.answer.ttft_us for turn in turns if turn.answer.ttft_us is not None]
    speeds = [turn.answer.speed for turn in turns if turn.answer.speed is not None]
    return Best(min(times) if len(times) > 1 else None, max(speeds) if len(speeds) > 1 else None)
