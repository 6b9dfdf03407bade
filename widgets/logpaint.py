"""How lines of a log look: margin, time, text with what was searched for, label. Keeps what it drew."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from widgets.logindex import LINE_LIMIT, LineIndex
from widgets.logsearch import Clean, Pattern
from widgets.logview import columns, window, wrap
from widgets.spans import cut, fit
from widgets.theme import Glyphs, Inks, StyleName

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MARGIN = 1
"""Columns in front of a line, for a mark or the cursor."""

_SHORT = 1 << 12
_TEXTS, _PIECES, _STRIPS = 512, 128, 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """Something found in a log: the offset of any byte of its line, how it looks, and a word at the right of the line.

    `glyph` stands in the margin; without one it is the sign for a mark.
    """

    offset: int
    style: StyleName = "yellow"
    label: str = ""
    glyph: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What decides how every line is drawn. `times` is the width of the time column, 0 without one."""

    width: int = 0
    left: int = 0
    wrapped: bool = False
    times: int = 0
    pattern: Pattern | None = None

    @property
    def limit(self) -> int:
        """Bytes of a line that are made readable: of a cut line a few times what can be seen of it.

        A page of lines of 64 KB each would take a tenth of a second, in which no key is answered.
        """
        needed = 4 * (self.left + self.width)
        return LINE_LIMIT if self.wrapped else min(LINE_LIMIT, max(_SHORT, 1 << needed.bit_length()))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a line stands on: under the cursor, in the selection, beside the thumb of the scroll bar."""

    cursor: bool = False
    chosen: bool = False
    thumb: bool = False


RowKey = tuple[int, int, int, Ground]
"""What tells a drawn row from another: start and end of its line, the row, its ground."""


class Cache(Generic[K, V]):
    """The last `size` values that were used."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: K, value: V) -> V:
        self._kept[key] = value
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        self._kept.clear()


class Painter:
    """Draws the rows of the lines of one index. The caller says by `look` how, and by `inks` in which colours."""

    def __init__(self, index: LineIndex, clean: Clean, time_at: Callable[[int], str], glyphs: Glyphs) -> None:
        self._marks: dict[int, Mark] = {}
        self._index = index
        self._clean = clean
        self._time_at = time_at
        self._glyphs = glyphs
        self._look = Look()
        self._inks: Inks | None = None
        self._texts: Cache[tuple[int, int], str] = Cache(_TEXTS)
        self._pieces: Cache[tuple[int, int], list[str]] = Cache(_PIECES)
        self._strips: Cache[RowKey, Strip] = Cache(_STRIPS)

    def use(self, look: Look, inks: Inks, marks: dict[int, Mark]) -> bool:
        """Draw like this from now on. Returns whether anything may look different."""
        if (look, marks) == (self._look, self._marks) and inks is self._inks:
            return False
        if look.limit != self._look.limit:
            self._texts.clear()
        self._look, self._inks, self._marks = look, inks, marks
        self._strips.clear()
        self._pieces.clear()
        return True

    def text(self, line: int) -> str:
        """A line as it is shown, as far as can be seen."""
        key = (self._index.start(line), self._index.end(line))
        text = self._texts.get(key)
        return text if text is not None else self._texts.put(key, self._read(line))

    def _read(self, line: int) -> str:
        return readable(self._index, line, self._clean, self._glyphs, self._look.limit)

    def height(self, line: int) -> int:
        """Rows that a line takes."""
        return len(self._wrapped(line)) if self._look.wrapped else 1

    def key(self, line: int, row: int, ground: Ground) -> RowKey:
        """As long as this is the same, a row looks the same."""
        return (self._index.start(line), self._index.end(line), row, ground)

    def strip(self, line: int, row: int, ground: Ground) -> Strip:
        """One row of a line, as wide as the pane."""
        key = self.key(line, row, ground)
        strip = self._strips.get(key)
        return strip if strip is not None else self._strips.put(key, self._draw(line, row, ground))

    def _wrapped(self, line: int) -> list[str]:
        key = (self._index.start(line), self._index.end(line))
        pieces = self._pieces.get(key)
        return pieces if pieces is not None else self._pieces.put(key, wrap(self.text(line), self._room(line)))

    def _room(self, line: int) -> int:
        """Columns for the text of a line: what margin, time, label and scroll bar leave."""
        look = self._look
        room = look.width - MARGIN - (look.times + 1 if look.times else 0) - 1
        mark = self._marks.get(line)
        return max(1, room - (self._label(mark, room) + 1 if mark is not None and mark.label else 0))

    def _label(self, mark: Mark, room: int) -> int:
        return min(cell_len(mark.label), max(1, room // 2))

    def _draw(self, line: int, row: int, ground: Ground) -> Strip:
        if self._inks is None:
            raise AssertionError("nothing is drawn before it is known how")
        look, inks, mark = self._look, self._inks, self._marks.get(line)
        styles = inks.cursor if ground.cursor else inks.chosen if ground.chosen else inks.line
        segments = [self._margin(mark if row == 0 else None, ground, styles)]
        if look.times:
            time = self._time_at(self._index.start(line)) if row == 0 else ""
            segments.append(Segment(fit(time, look.times, ellipsis=self._glyphs.ellipsis) + " ", styles["dim"]))
        room, text = self._room(line), self.text(line)
        if look.wrapped:
            pieces = self._wrapped(line)
            piece = pieces[row] if row < len(pieces) else ""
            at = sum(len(each) for each in pieces[:row])
        else:
            piece, at = window(text, look.left, room)
        plain = styles["dim" if self._index.gap(line) is not None else "plain"]
        segments += self._matched(text, piece, at, plain, inks.match)
        if piece and not look.wrapped and at + len(piece) < len(text):
            segments = _cut_last(segments, self._glyphs.ellipsis)
        segments.append(Segment(" " * (room - columns(piece)), styles["plain"]))
        if mark is not None and mark.label and row == 0:
            wide = look.width - MARGIN - (look.times + 1 if look.times else 0) - 1
            label = cut(mark.label, self._label(mark, wide), self._glyphs.ellipsis)
            segments.append(Segment(" " + label, styles[mark.style]))
        strip = Strip(segments).adjust_cell_length(look.width - 1, styles["plain"])
        thumb = Segment(self._glyphs.thumb if ground.thumb else " ", inks.line["faint"])
        return Strip([*strip, thumb], look.width)

    def _margin(self, mark: Mark | None, ground: Ground, styles: Mapping[StyleName, Style]) -> Segment:
        if mark is not None:
            return Segment(mark.glyph or self._glyphs.mark, styles[mark.style])
        return Segment(self._glyphs.cursor if ground.cursor else " ", styles["accent"])

    def _matched(self, text: str, piece: str, at: int, plain: Style, match: Style) -> list[Segment]:
        """The part of a line that begins at character `at`, with what was searched for marked."""
        pattern = self._look.pattern
        spans = pattern.spans(text, at, at + len(piece)) if pattern is not None else []
        segments: list[Segment] = []
        done = 0
        for span in spans:
            start, end = max(done, span[0] - at), min(len(piece), span[1] - at)
            if start < end:
                segments += [Segment(piece[done:start], plain), Segment(piece[start:end], match)]
                done = end
        return [*segments, Segment(piece[done:], plain)]


def readable(index: LineIndex, line: int, clean: Clean, glyphs: Glyphs, limit: int = LINE_LIMIT) -> str:
    """A line as people read it: cleaned, cut with an ellipsis where it is too long, and what is missing in a gap."""
    gap = index.gap(line)
    if gap is not None:
        return f"{glyphs.ellipsis} {gap:,} bytes are not kept {glyphs.ellipsis}"
    data, more = index.raw(line, limit)
    return clean(data.decode("utf-8", "replace")) + (glyphs.ellipsis if more else "")


def _cut_last(segments: list[Segment], ellipsis: str) -> list[Segment]:
    """The segments with an ellipsis in place of their last character."""
    while segments and not segments[-1].text:
        segments = segments[:-1]
    if not segments:
        return segments
    last = segments[-1]
    space = " " * (cell_len(last.text[-1]) - 1)
    return [*segments[:-1], Segment(last.text[:-1] + ellipsis + space, last.style)]
