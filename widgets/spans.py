"""Lines of styled text, and how they are cut, spread and drawn. Pure; nothing here reads markup."""

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from widgets.theme import StyleName

Span = tuple[str, StyleName]
"""A piece of one line: its text, without line breaks or control characters, and the name of its style."""

Line = Sequence[Span]
"""One line of a screen, from left to right."""


def plain(line: Line) -> str:
    """The text of a line."""
    return "".join(text for text, _ in line)


def width_of(line: Line) -> int:
    """Terminal columns that a line takes."""
    return sum(cell_len(text) for text, _ in line)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in at most `width` columns; what does not fit is replaced by the ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + ellipsis if width > 0 else ""


def fit(text: str, width: int, *, right: bool = False, ellipsis: str = "…") -> str:
    """`text` in exactly `width` columns: cut, or padded at its end, or in front when it is flush `right`."""
    text = cut(text, width, ellipsis)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def cut_line(line: Line, width: int, ellipsis: str = "…") -> list[Span]:
    """`line` in at most `width` columns; the span that does not fit ends in the ellipsis."""
    kept: list[Span] = []
    for text, style in line:
        length = cell_len(text)
        if length > width:
            short = cut(text, width, ellipsis)
            return [*kept, (short, style)] if short else kept
        kept.append((text, style))
        width -= length
    return kept


def fold(line: Line, width: int, indent: int = 0, *, words: bool = False) -> list[list[Span]]:
    """`line` as lines of at most `width` columns, at least one; those that go on are indented.

    With `words` it is folded between words, unless one of them takes half a line.
    """
    width, indent = max(2, width), min(indent, max(0, width - 8))
    lines: list[list[Span]] = [[]]
    room = width
    for text, style in line:
        rest = text
        while cell_len(rest) > room:
            # A wide character that has no room at the end of the line is replaced by a blank.
            head = set_cell_size(rest, room) if room else ""
            if words and not rest[len(head) :].startswith(" ") and (space := head.rfind(" ")) > room // 2:
                head = head[:space]
            head = head.rstrip(" ")
            lines[-1].append((head, style))
            lines.append([(" " * indent, "plain")])
            rest, room = rest[len(head) :].lstrip(" "), width - indent
        if rest:
            lines[-1].append((rest, style))
        room -= cell_len(rest)
    return lines


def spread(left: Line, right: Line, width: int, ellipsis: str = "…") -> list[Span]:
    """One line of `width` columns with a part at each end. The left part gives way, but keeps half of the width."""
    right = cut_line(right, max(0, width - min(width_of(left), width // 2) - 1), ellipsis)
    left = cut_line(left, width - width_of(right), ellipsis)
    return [*left, (" " * (width - width_of(left) - width_of(right)), "plain"), *right]


def draw(line: Line, width: int, styles: Mapping[StyleName, Style], ellipsis: str = "…") -> Strip:
    """`line` as a strip of exactly `width` columns, the rest painted in the plain style.

    Textual 6 and later leave what a strip does not cover without a background, so every strip is padded here.
    """
    segments = [Segment(text, styles[style]) for text, style in cut_line(line, width, ellipsis) if text]
    return Strip(segments).adjust_cell_length(width, styles["plain"])


def join(lines: Iterable[Line], between: Span) -> list[Span]:
    """The spans of several lines as one, with `between` in the joints."""
    spans: list[Span] = []
    for line in lines:
        if spans:
            spans.append(between)
        spans.extend(line)
    return spans
