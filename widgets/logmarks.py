"""Marks on lines of a log, by the offset where they were found, and the lines that they turn out to be on."""

from bisect import bisect_left
from collections.abc import Iterable

from widgets.logindex import LineIndex
from widgets.logpaint import Mark


class Marks:
    """Marks in order of their offset. A mark has a line as soon as the index has come that far."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._sorted = sorted(marks, key=lambda mark: mark.offset)
        self._waiting = list(self._sorted)
        self.by_line: dict[int, Mark] = {}

    def place(self, index: LineIndex) -> None:
        """Find the lines of marks that have none yet."""
        found = {line: mark for mark in self._waiting if (line := index.find(mark.offset)) is not None}
        if found:
            self.by_line = {**self.by_line, **found}
            self._waiting = [mark for mark in self._waiting if index.find(mark.offset) is None]

    def replaced(self) -> "Marks":
        """The same marks for another index."""
        return Marks(self._sorted)

    def before(self, offset: int) -> Mark | None:
        """The last mark in front of an offset."""
        i = bisect_left(self._sorted, offset, key=lambda mark: mark.offset)
        return self._sorted[i - 1] if i > 0 else None

    def behind(self, offset: int) -> Mark | None:
        """The first mark at or behind an offset."""
        i = bisect_left(self._sorted, offset, key=lambda mark: mark.offset)
        return self._sorted[i] if i < len(self._sorted) else None
