"""Finding text in a log, and the list of the lines that hold it. Runs in threads; asks often whether to go on.

A match is one in the text as it is shown. Blocks of bytes are searched first, with terminal colours taken out, and only
lines with control characters in them are made readable to look again: some hundred megabytes a second, not three.
"""

import re
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile

from widgets.logindex import LineIndex, TwoWay

Clean = Callable[[str], str]
"""Makes one raw line fit to be shown: no escape sequences, of a progress line what it said last."""

REGEX_LIMIT = 1 << 12
"""Characters of a line that a regular expression is tried on: what takes time in their square then takes 10 ms."""

_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Escapes and sets of characters are taken whole, for they hold no operators; a repeat is `*`, `+` or `{n,}`.
_OPERATORS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|\)(?:[*+]|\{\d*,\})|[*+]|\{\d*,\}|[()|]", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


class Pattern:
    """What is looked for: plain text or a regular expression. Capitals in it make it tell capitals from small letters.

    Raises ValueError, with the reason in words, for what is no regular expression, would match everything, or could
    take for ever: nothing can interrupt an expression, so a bad one would stop the whole program. For the same reason
    an expression sees only the first `REGEX_LIMIT` characters of a line.
    """

    def __init__(self, text: str, *, regex: bool = False) -> None:
        self.text = text
        self.regex = regex
        if regex and _explodes(text):
            raise ValueError("a repeat of a group that holds a repeat or a choice could take for ever")
        blind = text == text.lower()
        source, flags = (text if regex else re.escape(text)), re.IGNORECASE if blind else re.NOFLAG
        try:
            self._shown = re.compile(source, flags)
            self._raw = re.compile(source.encode(), flags)
        except (re.error, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if self._shown.search("") is not None:
            raise ValueError("matches every line" if text else "nothing to look for")
        # Lowered bytes and find() are ten times as fast as a case-blind expression; either is blind for ASCII only.
        self._plain = None if regex else (text.lower() if blind else text).encode()
        self._blind = blind
        self._seen = REGEX_LIMIT if regex else sys.maxsize

    def spans(self, text: str, first: int = 0, last: int | None = None) -> list[tuple[int, int]]:
        """Where a shown text matches, as (start, end) in characters: the matches that touch `first` to `last`."""
        last = len(text) if last is None else last
        around = 0 if self.regex else len(self.text)
        # An expression has to be followed from the beginning of the line; a text is found wherever one begins to look.
        begin, end = (0, REGEX_LIMIT) if self.regex else (max(0, first - around), last + around)
        found = takewhile(lambda match: match.start() < last, self._shown.finditer(text, begin, end))
        return [match.span() for match in found if match.end() > max(first, match.start())]

    def lines(self, chunk: bytes, clean: Clean) -> Iterator[int]:
        """Which lines of a block of lines match, counted from 0."""
        if b"\x1b" in chunk:
            chunk = _ESCAPES.sub(b"", chunk)
        found = self._lines_matching(chunk) if self._plain is None else self._lines_holding(chunk, self._plain)
        for number, line in found:
            if not _CONTROL.search(line) or self._shown.search(clean(line.decode("utf-8", "replace")), 0, self._seen):
                yield number

    def _lines_matching(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Line by line, so that an expression neither reaches over a line's end nor looks at much at once."""
        search = self._raw.search
        return ((n, line) for n, line in enumerate(chunk.split(b"\n")) if search(line, 0, REGEX_LIMIT))

    def _lines_holding(self, chunk: bytes, text: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines around each place where a block holds a text, without looking at the lines in between."""
        searched = chunk.lower() if self._blind else chunk
        number = start = 0
        while (hit := searched.find(text, start)) >= 0:
            number += chunk.count(b"\n", start, hit)
            start = chunk.rfind(b"\n", start, hit) + 1 or start
            end = chunk.find(b"\n", hit)
            end = len(chunk) if end < 0 else end
            yield number, chunk[start:end]
            number, start = number + 1, end + 1


def _explodes(text: str) -> bool:
    """Whether an expression repeats, without limit, a group in which there is a repeat without limit or a choice.

    Such an expression may take time exponential in the length of a line. Some that are refused would not.
    """
    risky = [False]
    for sign in _OPERATORS.findall(text):
        if sign == "(":
            risky.append(False)
        elif sign[0] == ")":
            inside = risky.pop() if len(risky) > 1 else False
            if inside and len(sign) > 1:
                return True
            risky[-1] = risky[-1] or inside or len(sign) > 1
        elif sign[0] in "*+{|":
            risky[-1] = True
    return False


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
