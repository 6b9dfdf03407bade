"""Finding things in a log pane: search, filter, marks, and going to a place that may not be indexed yet."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from textual.message import Message
from textual.worker import Worker, get_current_worker

from widgets.logbody import LogBody
from widgets.logindex import LineIndex
from widgets.logmarks import Marks
from widgets.logpaint import Mark
from widgets.logsearch import Filter, Pattern, search

Outcome = Literal["found", "nothing", "cancelled"]

PROGRESS_S = 0.25
"""Seconds between two words on how far a search has come."""


class LogFinder(LogBody):
    """A log body that can be searched, filtered and marked."""

    @dataclass
    class Progress(Message, namespace="log_pane"):
        """How far a long work has come, from 0 to 1; 1 is its end, however it ended."""

        pane: "LogFinder"
        work: Literal["search", "filter", "index"]
        fraction: float

        @property
        def control(self) -> "LogFinder":
            return self.pane

    @dataclass
    class Searched(Message, namespace="log_pane"):
        """A search ended: at a line, without one, or because it was cancelled or the log was replaced."""

        pane: "LogFinder"
        pattern: Pattern
        outcome: Outcome

        @property
        def control(self) -> "LogFinder":
            return self.pane

    @dataclass
    class Ended(Message, bubble=False):
        """A search thread came to its end, at a line of an index. `search` is which search it was."""

        search: int
        index: LineIndex
        line: int | None

    _pending: tuple[Literal["offset", "number"], int] | None = None
    _searching: tuple[Worker[None], Pattern] | None = None
    _searches = 0
    _filtering = False

    def search(self, pattern: Pattern, forward: bool = True) -> None:
        """Look for a pattern from the cursor on, in a thread. Ends in `Searched`; a search before it is cancelled.

        What matches is marked in the lines shown. With a filter, only lines that it lets through are found.
        """
        self.stop_search()
        self._pattern = pattern
        self._searches += 1
        # While it follows, nobody has put the cursor on the last line: what is looked for above may be in it.
        near = None if self._window.following and not forward else self._window.near
        after = self._index.high if near is None else near
        work = partial(self._search, self._searches, self._index, pattern, after, forward)
        self._searching = (self.run_worker(work, thread=True, group="search"), pattern)
        self.redraw()

    def search_again(self, forward: bool = True) -> None:
        """Look for the next line with the last pattern, if there was one."""
        if self._pattern is not None:
            self.search(self._pattern, forward)

    def stop_search(self) -> bool:
        """Cancel a search that is going on. False if there is none."""
        if self._searching is None:
            return False
        self._searching[0].cancel()
        self._say("cancelled")
        return True

    def forget_search(self) -> None:
        """Mark what was searched for no longer."""
        self.stop_search()
        self._pattern = None
        self.redraw()

    def set_filter(self, pattern: Pattern | None) -> None:
        """Show only lines that match, or all again. The cursor stays on its line or goes to the one before it."""
        self._filter = None if pattern is None else Filter(self._index, pattern, self._clean)
        self._filtering = self._filter is not None
        self._window.use(self._index if self._filter is None else self._filter)
        self._read_to = self._window.items.high
        self.redraw()
        self._tick()

    def set_marks(self, marks: Iterable[Mark]) -> None:
        """Mark these lines, and no others."""
        self._marks = Marks(marks)
        self._marks.place(self._index)
        self.redraw()

    def go_to_mark(self, forward: bool = True) -> bool:
        """Go to the next mark, or the one before. False if there is none."""
        line, index = self._window.line, self._index
        if line is None:
            return False
        mark = self._marks.behind(index.end(line)) if forward else self._marks.before(index.start(line))
        if mark is not None:
            self.go_to_offset(mark.offset)
        return mark is not None

    def go_to_offset(self, offset: int) -> None:
        """Put the cursor on the line that holds an offset, as soon as the index has come that far."""
        self._go_to("offset", offset)

    def go_to_number(self, number: int) -> None:
        """Put the cursor on a line by its number from 1, as soon as all lines have been counted."""
        self._go_to("number", number)

    def stop_going(self) -> bool:
        """No longer wait for the place that was asked for. False if none was."""
        waiting, self._pending = self._pending is not None, None
        if waiting:
            self.post_message(self.Progress(self, "index", 1.0))
        return waiting

    def settled(self) -> None:
        if self._filter is not None and self._filtering:
            self._filtering = not self._filter.complete
            self.post_message(self.Progress(self, "filter", self._filter.fraction if self._filtering else 1.0))
        if self._pending is None:
            return
        kind, value = self._pending
        index = self._index
        if not index.complete and (kind == "number" or index.find(value) is None):
            self.post_message(self.Progress(self, "index", index.fraction))
            return
        line = index.low + value - 1 if kind == "number" else index.find(value)
        if line is None:
            line = index.low if value < index.stream.start else index.high - 1
        self.stop_going()
        self._window.look_at_line(max(index.low, min(index.high - 1, line)))

    def begun(self, offset: int | None) -> None:
        self._filtering = self._filter is not None
        if self._pending is None and offset is not None:
            self._pending = ("offset", offset)

    def _go_to(self, kind: Literal["offset", "number"], value: int) -> None:
        self._pending = (kind, value)
        self._window.following = False
        self.settled()
        self.redraw()

    def _search(self, number: int, index: LineIndex, pattern: Pattern, after: int, forward: bool) -> None:
        """In a thread: search, and say how far it has come."""
        worker = get_current_worker()
        said = time.monotonic()

        def go_on(fraction: float) -> bool:
            nonlocal said
            if time.monotonic() - said >= PROGRESS_S and not worker.is_cancelled:
                said = time.monotonic()
                self.post_message(self.Progress(self, "search", min(fraction, 0.99)))
            return not worker.is_cancelled

        line = search(index, pattern, after, forward, self._clean, go_on)
        while line is not None and not self._let_through(index, line) and go_on(0.0):
            line = search(index, pattern, line, forward, self._clean, go_on)
        self.post_message(self.Ended(number, index, line))

    def _let_through(self, index: LineIndex, line: int) -> bool:
        chosen = self._filter
        return chosen is None or any(True for _ in chosen.pattern.lines(index.raw(line)[0], self._clean))

    def on_log_finder_ended(self, message: Ended) -> None:
        if self._searching is None or message.search != self._searches:
            return
        if message.index is not self._index:
            self._say("cancelled")
        elif message.line is None:
            self._say("nothing")
        else:
            self._pending = None
            self._window.look_at_line(message.line)
            self.redraw()
            self._say("found")

    def _say(self, outcome: Outcome) -> None:
        """Say that the search that is going on is over."""
        if self._searching is not None:
            pattern, self._searching = self._searching[1], None
            self.post_message(self.Progress(self, "search", 1.0))
            self.post_message(self.Searched(self, pattern, outcome))
