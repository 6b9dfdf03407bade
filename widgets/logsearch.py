"""Finding text in a log, and the list of the lines that hold it. Runs in threads; asks often whether to go on.

A match is one in the text as it is shown. Blocks of bytes are searched first, with terminal colours taken out, and only
lines with control characters in them are made readable to look again: some hundred megabytes a second, not three.
"""

import re
from collections.abc import Callable, Iterator

from widgets.logindex import LineIndex, TwoWay

Clean = Callable[[str], str]
"""Makes one raw line fit to be shown: no escape sequences, of a progress line what it said last."""

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


class Pattern:
    """What is looked for: plain text or a regular expression. Capitals in it make it tell capitals from small letters.

    Raises ValueError, with the reason in words, for what is no regular expression or would match everything.
    """

    def __init__(self, text: str, *, regex: bool = False) -> None:
        self.text = text
        self.regex = regex
        source = text if regex else re.escape(text)
        flags = re.MULTILINE | (re.IGNORECASE if text == text.lower() else 0)
        try:
            self._shown = re.compile(source, flags)
            self._raw = re.compile(source.encode(), flags)
        except (re.error, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if self._shown.search("") is not None:
            raise ValueError("matches every line" if text else "nothing to look for")
        # A plain search by find() on lowered bytes is five times as fast as a case-blind expression, which only
        # matters for ASCII: lower() leaves other letters alone, as bytes do in an expression.
        self._plain = None if regex else (text.lower() if flags & re.IGNORECASE else text).encode()
        self._lowered = bool(flags & re.IGNORECASE)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where a shown text matches, as (start, end) in characters."""
        return [match.span() for match in self._shown.finditer(text) if match.end() > match.start()]

    def lines(self, chunk: bytes, clean: Clean) -> Iterator[int]:
        """Which lines of a block of lines match, counted from 0."""
        if b"\x1b" in chunk:
            chunk = _ESCAPES.sub(b"", chunk)
        searched = chunk.lower() if self._plain is not None and self._lowered else chunk
        line = start = 0
        while (hit := self._find(searched, start)) >= 0:
            line += chunk.count(b"\n", start, hit)
            start = chunk.rfind(b"\n", start, hit) + 1 or start
            end = chunk.find(b"\n", hit)
            end = len(chunk) if end < 0 else end
            if self._matches(chunk[start:end], clean):
                yield line
            line, start = line + 1, end + 1

    def _find(self, chunk: bytes, start: int) -> int:
        if self._plain is not None:
            return chunk.find(self._plain, start)
        match = self._raw.search(chunk, start)
        # A match of nothing but the end of the block belongs to no line.
        return match.start() if match is not None and match.start() < len(chunk) else -1

    def _matches(self, line: bytes, clean: Clean) -> bool:
        if _CONTROL.search(line):
            return self._shown.search(clean(line.decode("utf-8", "replace"))) is not None
        return self._plain is not None or self._raw.search(line) is not None


def search(
    index: LineIndex, pattern: Pattern, after: int, forward: bool, clean: Clean, go_on: Callable[[float], bool]
) -> int | None:
    """The nearest line behind `after` (or in front of it) that matches; None if there is none.

    `go_on` is told how far the search has come, from 0 to 1, at every block, and ends it by returning False.
    """
    line = after + 1 if forward else after - 1
    origin = (
        index.stream.end if after >= index.high else index.start(max(after, index.low)) if index.high > index.low else 0
    )
    while forward and line < index.high:
        first, last, data = index.chunk(line, forward=True)
        found = next(pattern.lines(data, clean), None)
        if found is not None:
            return first + found
        line = last
        if not go_on(_share(index.end(last - 1) - origin, index.stream.end - origin)):
            return None
    while not forward:
        if line < index.low:
            if not index.scan_back():
                return None
            continue
        first, _, data = index.chunk(line, forward=False)
        hits = list(pattern.lines(data, clean))
        if hits:
            return first + hits[-1]
        line = first - 1
        if not go_on(_share(origin - index.start(first), origin - index.stream.start)):
            return None
    return None


class Filter:
    """The lines of an index that match, found from the end of the log backwards, and for new ones as they come.

    A list of items like the index itself: `line` says which line an item is. A last line that has no end yet is left
    out until it has, unless it is what the index began with.
    """

    def __init__(self, index: LineIndex, pattern: Pattern, clean: Clean) -> None:
        self.pattern = pattern
        self._index = index
        self._clean = clean
        self._found = TwoWay("q")
        self._from = self._to = 0

    @property
    def low(self) -> int:
        return self._found.low

    @property
    def high(self) -> int:
        return self._found.high

    @property
    def complete(self) -> bool:
        """Whether every line known has been looked at."""
        return self._from == self._index.low and self._index.complete

    @property
    def fraction(self) -> float:
        """How much of the log has been looked at, from 0 to 1."""
        stream = self._index.stream
        reached = self._index.start(self._from) if self._from < self._index.high else stream.end
        return _share(stream.end - reached, stream.end - stream.start)

    def line(self, item: int) -> int:
        """The line that an item is."""
        return self._found[item]

    def item(self, line: int) -> int:
        """The item that is a line, or the nearest one in front of it."""
        return max(self.low, min(self.high - 1, self._found.rank(line)))

    def step(self) -> bool:
        """Look at one more block, new lines first. False when there is nothing more to look at for now."""
        index = self._index
        ended = index.high - (0 if index.high == 0 or index.ended(index.high - 1) else 1)
        if self._to < ended:
            first, last, data = index.chunk(self._to, forward=True)
            last = min(last, ended)
            hits = (first + line for line in self.pattern.lines(data, self._clean))
            self._found.append([line for line in hits if line < last])
            self._to = last
            return True
        if self._from <= index.low and not index.scan_back():
            return False
        if self._from > index.low:
            first, _, data = index.chunk(self._from - 1, forward=False)
            self._found.prepend([first + line for line in self.pattern.lines(data, self._clean)])
            self._from = first
        return True


def _share(part: int, whole: int) -> float:
    return max(0.0, min(1.0, part / whole)) if whole > 0 else 1.0
