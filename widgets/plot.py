"""Numbers as pictures made of characters: sparklines, bars, stacked bars, plots over time. Pure.

Every function returns spans or lines of spans and takes the glyphs to draw with, so that what is shown is the same for
Unicode and for ASCII, at any width. A value of None is not known, and is drawn as nothing rather than as zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from widgets.spans import Line, Span, fit, width_of
from widgets.theme import UNICODE, Glyphs, StyleName

Series = Sequence[float | None]
"""Values in order of time, at equal distances."""


def resample(series: Series, width: int) -> list[float | None]:
    """`series` as at most `width` values, each the highest of those it stands for: a peak is never smoothed away.

    A series that is shorter than the width is returned as it is.
    """
    if len(series) <= width:
        return list(series)
    edges = [len(series) * i // width for i in range(width + 1)]
    groups = ([v for v in series[a:b] if v is not None] for a, b in pairwise(edges))
    return [max(group) if group else None for group in groups]


def sparkline(series: Series, width: int, top: float | None = None, glyphs: Glyphs = UNICODE) -> str:
    """The last values as one character each, the newest at the right end, in exactly `width` columns.

    `top` is the value of a full character; without it the highest value is.
    """
    known = resample(series, width)
    ceiling = _ceiling(known, top)
    steps = glyphs.steps
    signs = (" " if v is None else steps[min(len(steps) - 1, max(0, int(v / ceiling * len(steps))))] for v in known)
    return "".join(signs).rjust(width)


def meter(fraction: float | None, width: int, style: StyleName = "plain", glyphs: Glyphs = UNICODE) -> list[Span]:
    """A bar of `width` columns filled to `fraction` (0 to 1), with half a column as its finest step."""
    if fraction is None:
        return [(glyphs.bar_empty * width, "faint")]
    halves = round(max(0.0, min(1.0, fraction)) * width * 2)
    full = glyphs.bar * (halves // 2)
    half = glyphs.bar_half if halves % 2 else ""
    rest = width - len(full) - len(half)
    return [(full + half, style), (glyphs.bar_empty * rest, "faint")]


def percent_bar(fraction: float | None, width: int, style: StyleName = "plain", glyphs: Glyphs = UNICODE) -> list[Span]:
    """`meter` and the percentage behind it, in exactly `width` columns."""
    text = glyphs.unknown if fraction is None else f"{max(0.0, min(1.0, fraction)):.0%}"
    return [*meter(fraction, max(0, width - 5), style, glyphs), (text.rjust(min(5, width)), "plain")]


def stacked(parts: Sequence[tuple[float, StyleName]], total: float, width: int, glyphs: Glyphs = UNICODE) -> list[Span]:
    """A bar of `width` columns for `total`, filled by the parts one after the other, each with its own sign and style.

    Parts beyond `total` are cut off at the end. A part that is not nothing gets a column as long as there is one.
    """
    spans: list[Span] = []
    used, reached = 0, 0.0
    for n, (value, style) in enumerate(parts):
        reached += value
        end = round(min(1.0, reached / total) * width) if total > 0 else 0
        columns = max(end - used, 1 if value > 0 else 0)
        columns = min(columns, width - used)
        if columns > 0:
            spans.append((glyphs.dots[n % len(glyphs.dots)] * columns, style))
            used += columns
    return [*spans, (" " * (width - used), "plain")] if used < width else spans


@dataclass(frozen=True, slots=True)
class Axis:
    """What is written at a plot: the name of the value, how a value is written, and the times at both ends.

    `note` stands at the right of the name, where there is room.
    """

    title: str
    label: Callable[[float], str] = "{:.4g}".format
    start: str = ""
    end: str = "now"
    note: str = ""


def plot(
    series: Series,
    width: int,
    height: int,
    axis: Axis,
    *,
    style: StyleName = "plain",
    top: float | None = None,
    glyphs: Glyphs = UNICODE,
) -> list[Line]:
    """Columns over time in exactly `height` lines (at least 3) of at most `width` columns.

    The first line names the value and its latest; the last has the times. Between them stand the columns, on a scale
    from 0 to `top` or to a round number just above the highest value. A short series stands at the right.
    """
    rows = max(1, height - 2)
    ceiling = top or _round_up(_ceiling(series, None))
    high, low = axis.label(ceiling), axis.label(0)
    gutter = max(len(high), len(low)) + 1
    across = max(1, width - gutter - 1)
    shown = resample(series, across)
    values: Series = [*[None] * (across - len(shown)), *shown]
    latest = next((v for v in reversed(series) if v is not None), None)
    head: list[Span] = [(axis.title + " ", "dim"), (glyphs.unknown if latest is None else axis.label(latest), "strong")]
    if axis.note and width_of(head) + len(axis.note) + 2 <= width:
        head += [(axis.note.rjust(width - width_of(head)), "dim")]
    lines: list[Line] = [head]
    for n in range(rows):
        label = high if n == 0 else low if n == rows - 1 else ""
        drawn = "".join(_column(v, ceiling, rows - 1 - n, rows, glyphs) for v in values)
        lines.append([(label.rjust(gutter - 1) + " ", "dim"), (glyphs.axis, "faint"), (drawn, style)])
    times: list[Span] = [(" " * gutter + glyphs.corner, "faint"), (fit(axis.start, across - len(axis.end)), "dim")]
    return [
        *lines,
        [*times, (axis.end, "dim")] if across > len(axis.end) else [(" " * gutter + glyphs.corner, "faint")],
    ]


def legend(parts: Sequence[tuple[str, StyleName]], glyphs: Glyphs = UNICODE) -> list[Span]:
    """What the parts of a stacked bar are, in their order: each sign with its text."""
    spans: list[Span] = []
    for n, (text, style) in enumerate(parts):
        if spans:
            spans.append((f" {glyphs.between} ", "dim"))
        spans += [(glyphs.dots[n % len(glyphs.dots)] + " ", style), (text, "plain")]
    return spans


def beside(left: Sequence[Line], right: Sequence[Line], width: int, gap: int = 2) -> list[Line]:
    """Two blocks next to each other, the right one starting at column `width` + `gap`."""
    lines: list[Line] = []
    for n in range(max(len(left), len(right))):
        first = left[n] if n < len(left) else ()
        lines.append(
            [*first, (" " * max(0, width + gap - width_of(first)), "plain"), *(right[n] if n < len(right) else ())]
        )
    return lines


def _column(value: float | None, ceiling: float, row: int, rows: int, glyphs: Glyphs) -> str:
    """The part of one column that stands in `row`, counted from the bottom."""
    if value is None:
        return " "
    steps = glyphs.steps
    level = min(value / ceiling, 1.0) * rows * len(steps) - row * len(steps)
    if level >= len(steps):
        return steps[-1]
    # A value that is known but small still shows on the ground line: nothing is different from little.
    return steps[max(0, int(level) - 1)] if level >= 1 or row == 0 else " "


def _ceiling(values: Series, top: float | None) -> float:
    highest = max((v for v in values if v is not None), default=0.0)
    return top or highest or 1.0


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10 … times a power of ten."""
    scale = 1.0
    while scale < value:
        scale *= 10
    while scale / 10 >= value:
        scale /= 10
    return next(step * scale / 10 for step in (1, 2, 5, 10) if step * scale / 10 >= value)
