"""Columns of a table: how they share a width, which of them give way, and how a line of them is drawn. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from widgets.spans import Line, Span, fit
from widgets.theme import Glyphs, Inks

GAP = 2
"""Blank columns between two columns of a table."""

MARGIN = 1
"""Terminal columns before the first cell, where the cursor's marker stands."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a fixed `width` in terminal columns, or None to share what is left between `minimum` and `maximum`.

    When the width is short the column of lowest `priority` goes first, the rightmost of equals; the last one stays.
    """

    key: str
    title: str
    width: int | None = None
    right: bool = False
    priority: int = 0
    minimum: int = 8
    maximum: int | None = None

    @property
    def least(self) -> int:
        """The narrowest that this column is still shown at."""
        return self.minimum if self.width is None else self.width


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that is shown: its place among all columns (that of its cell in a row), where it starts, its width."""

    index: int
    column: Column
    x: int
    width: int


def lay_out(columns: Sequence[Column], width: int) -> tuple[Placed, ...]:
    """The columns that fit in `width`, in their order, with the width that each one gets."""
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(columns[i].least for i in kept) + GAP * (len(kept) - 1) > width:
        kept.remove(min(kept, key=lambda i: (columns[i].priority, -i)))
    spare = width - sum(columns[i].least for i in kept) - GAP * max(0, len(kept) - 1)
    widths = {i: columns[i].least for i in kept}
    flexible = [i for i in kept if columns[i].width is None]
    # Columns with a limit are served first, so that what they leave goes to those without one.
    flexible.sort(key=lambda i: (columns[i].maximum is None, columns[i].maximum or 0))
    for served, i in enumerate(flexible):
        share = max(0, spare) // (len(flexible) - served)
        limit = columns[i].maximum
        grown = share if limit is None else min(share, max(0, limit - widths[i]))
        widths[i] += grown
        spare -= grown
    if spare < 0 and kept:
        widths[kept[0]] = max(1, widths[kept[0]] + spare)
    starts = accumulate((widths[i] + GAP for i in kept), initial=0)
    return tuple(Placed(i, columns[i], x, widths[i]) for i, x in zip(kept, starts, strict=False))


def header(placed: Sequence[Placed], sort: tuple[str, bool] | None, width: int, ink: Inks, glyphs: Glyphs) -> Strip:
    """The line of titles. `sort` is the column that rows are sorted by, and whether downwards."""
    segments: list[Segment] = []
    reached = 0
    for each in placed:
        title, style = each.column.title, ink.line["dim"]
        if sort is not None and sort[0] == each.column.key:
            sign = glyphs.falling if sort[1] else glyphs.rising
            # When the title fills its column the sign stands in the gap: before a flush-right title, else after it.
            title, style = (sign + title if each.column.right else title + sign), ink.line["accent"]
        start = max(reached, MARGIN + each.x + (each.width - cell_len(title) if each.column.right else 0))
        segments += [Segment(" " * (start - reached), ink.line["plain"]), Segment(title, style)]
        reached = start + cell_len(title)
    return Strip(segments).adjust_cell_length(width, ink.line["plain"])


def row(placed: Sequence[Placed], line: Line, marker: Span | None, width: int, ink: Inks, glyphs: Glyphs) -> Strip:
    """One row, `line` being a cell for every column, shown or not. A row with a marker is the one under the cursor."""
    styles = ink.line if marker is None else ink.cursor
    text, style = marker or (" ", "plain")
    segments = [Segment(text, styles[style])]
    for each in placed:
        text, style = line[each.index] if each.index < len(line) else ("", "plain")
        text = fit(text, each.width, right=each.column.right, ellipsis=glyphs.ellipsis)
        segments += [Segment(text, styles[style]), Segment(" " * GAP, styles["plain"])]
    return Strip(segments).adjust_cell_length(width, styles["plain"])
