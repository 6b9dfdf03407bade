"""Where the lines of a stream are. Built from its end backwards, so that the tail can be shown before it is finished.

A line is known by a number that never changes: 0 is the first line that begins behind the end of the stream as it was
when the index was made, -1 the one before it. Both ends grow by 8 bytes a line. Threads may extend the index while the
event loop reads it: what is in it is never moved, and the two arrays are only ever appended to.
"""

import re
import threading
from array import array
from collections.abc import Iterable

from widgets.logfile import Stream

BLOCK = 1 << 17
"""Bytes that are looked at in one go: half a millisecond, or two for a slow expression, which no other thread can
interrupt. Between two blocks the interpreter's lock is let go."""

LINE_LIMIT = 1 << 16
"""Bytes of one line that are read; the rest of a longer line is not shown."""

_NEWLINE = re.compile(b"\n")


class TwoWay:
    """Rising numbers, addressed from a fixed point: `low` ≤ i < `high`, and both ends may move outwards."""

    def __init__(self, typecode: str) -> None:
        self._type = typecode
        self._back = array(typecode)
        self._fore = array(typecode)

    @property
    def low(self) -> int:
        return -len(self._back)

    @property
    def high(self) -> int:
        return len(self._fore)

    def __getitem__(self, i: int) -> int:
        return self._fore[i] if i >= 0 else self._back[-1 - i]

    def append(self, rising: Iterable[int]) -> None:
        """Add numbers above all others."""
        self._fore.extend(array(self._type, rising))

    def prepend(self, rising: Iterable[int]) -> None:
        """Add numbers below all others."""
        block = array(self._type, rising)
        block.reverse()
        self._back.extend(block)

    def rank(self, value: int) -> int:
        """The place of the last number that is not above `value`; `low` - 1 if all are."""
        low, high = self.low, self.high
        while low < high:
            middle = (low + high) // 2
            if self[middle] <= value:
                low = middle + 1
            else:
                high = middle
        return low - 1


class LineIndex:
    """The lines of a stream that may still grow. `low` and `high` bound the numbers of the lines known so far."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._starts = TwoWay("Q")
        self._lock = threading.Lock()
        self._anchor = self._scanned = stream.end
        # Whether the next byte that comes begins a line.
        self._fresh = not stream.extents or stream.read(stream.end - 1, stream.end) == b"\n"

    @property
    def low(self) -> int:
        return self._starts.low

    @property
    def high(self) -> int:
        return self._starts.high

    @property
    def complete(self) -> bool:
        """Whether the first line of the stream is known."""
        return self._scanned <= self.stream.start

    @property
    def fraction(self) -> float:
        """How much of the stream has been looked at, from 0 to 1."""
        size = self.stream.end - self.stream.start
        return (self.stream.end - self._scanned) / size if size else 1.0

    def line(self, item: int) -> int:
        """The line of an item of this list: itself, because the index lists every line."""
        return item

    def item(self, line: int) -> int:
        """The item that stands for a line, or for the nearest one known."""
        return max(self.low, min(self.high - 1, line))

    def find(self, offset: int) -> int | None:
        """The line that holds `offset`; None while the scan has not reached it, or outside the stream."""
        if offset < self._scanned or offset >= self.stream.end or self.low == self.high:
            return None
        line = self._starts.rank(offset)
        return line if line >= self.low else None

    def start(self, line: int) -> int:
        """The offset of the first byte of a line."""
        return self._starts[line]

    def end(self, line: int) -> int:
        """The offset behind the last byte of a line, its end of line included."""
        return self._starts[line + 1] if line + 1 < self.high else self.stream.end

    def ended(self, line: int) -> bool:
        """Whether a line can grow no more."""
        return line + 1 < self.high or self._fresh

    def number(self, line: int) -> int | None:
        """The number of a line from the beginning of the stream, counted from 1; None while that is not known."""
        return line - self.low + 1 if self.complete else None

    def gap(self, line: int) -> int | None:
        """The size in bytes of the gap that this line stands for; None if it is a line of text."""
        extent = self.stream.extent_at(self.start(line))
        return extent.end - extent.start if extent is not None and extent.is_gap else None

    def raw(self, line: int, limit: int = LINE_LIMIT) -> tuple[bytes, bool]:
        """The first `limit` bytes of a line without its end, and whether it has more.

        Of a longer line that ends in states of a progress bar, set apart by carriage returns, it is the last state:
        what came before has been written over, and the first bytes would show the oldest.
        """
        start, end = self.start(line), self.end(line)
        text, _, _ = self.stream.read(start, min(end, start + limit + 1)).partition(b"\n")
        if len(text) <= limit:
            return text.removesuffix(b"\r"), False
        last = self.stream.read(end - limit, end).rstrip(b"\r\n")
        _, written_over, state = last.rpartition(b"\r")
        return (state, False) if written_over else (text[:limit], True)

    def scan_back(self) -> bool:
        """Look at one more block in front of what is known. False when there is none."""
        with self._lock:
            if self.complete:
                return False
            extent = self.stream.extent_at(self._scanned - 1)
            if extent is None:
                raise AssertionError("a stream has no holes")
            if extent.is_gap:
                self._starts.prepend([extent.start])
                self._scanned = extent.start
                return True
            first = max(extent.start, self._scanned - BLOCK)
            starts = self._ends(first, self._scanned)
            # A newline at the very end begins a line only if text follows it there.
            following = self.stream.extent_at(self._scanned)
            if (
                starts
                and starts[-1] == self._scanned
                and (self._scanned == self._anchor or (following is not None and following.is_gap))
            ):
                starts.pop()
            if first == extent.start and self._begins(first):
                starts.insert(0, first)
            self._starts.prepend(starts)
            self._scanned = first
            return True

    def grow(self, stream: Stream) -> bool:
        """Go on with a stream that continues the one so far. Returns whether it is longer."""
        with self._lock:
            reached, self.stream = self.stream.end, stream
            for extent in stream.extents:
                if extent.end <= reached:
                    continue
                if extent.is_gap:
                    self._starts.append([extent.start])
                    self._fresh = True
                    continue
                for first in range(max(extent.start, reached), extent.end, BLOCK):
                    last = min(extent.end, first + BLOCK)
                    starts = self._ends(first, last)
                    if self._fresh:
                        starts.insert(0, first)
                    self._fresh = bool(starts) and starts[-1] == last
                    if self._fresh:
                        starts.pop()
                    self._starts.append(starts)
            return stream.end > reached

    def chunk(self, line: int, forward: bool) -> tuple[int, int, bytes]:
        """About a block of whole lines from `line` on, or up to it: the first, the one behind the last, their bytes.

        Lines on both sides of a gap never come together, and a line longer than a block is cut as for showing.
        """
        if self.gap(line) is not None:
            return line, line + 1, b""
        first = last = line
        if forward:
            limit = self.start(line) + BLOCK
            last = max(line, self._starts.rank(min(limit, self.stream.gap_from(self.start(line))) - 1))
            if last > line and self.end(last) > limit:
                last -= 1
        else:
            first = min(line, self._starts.rank(self.end(line) - BLOCK - 1) + 1)
            while (gap := self.stream.gap_from(self.start(first))) < self.start(last):
                first = self._starts.rank(gap) + 1
        if first == last:
            return first, last + 1, self.raw(first)[0]
        return first, last + 1, self.stream.read(self.start(first), self.end(last))

    def _ends(self, first: int, last: int) -> list[int]:
        """Where the lines between two offsets end, that is, where the ones behind them may begin."""
        return [match.end() + first for match in _NEWLINE.finditer(self.stream.read(first, last))]

    def _begins(self, start: int) -> bool:
        """Whether an extent that starts here begins with a line: it is the first, or comes behind a gap."""
        before = self.stream.extent_at(start - 1)
        return before is None or before.is_gap
