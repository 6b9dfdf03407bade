"""Cells and tables: text with a meaning, laid out in columns. The one way from here to a terminal is `ansi`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.text import cell_width, safe

Tone = Literal["plain", "good", "busy", "look", "bad", "dim", "accent"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of one line. Its text may come from anywhere: it is made safe on its way out."""

    text: str
    tone: Tone = "plain"


Line = tuple[Cell, ...]

_SGR: dict[Tone, str] = {"good": "32", "busy": "36", "look": "33", "bad": "31", "dim": "2", "accent": "1"}
_GAP = "  "


def line(*parts: Cell | str) -> Line:
    """A line of the given parts, without anything between them."""
    return tuple(part if isinstance(part, Cell) else Cell(part) for part in parts)


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell | str]], right: Sequence[str] = ()) -> list[Line]:
    """Aligned columns under `headers`; those named in `right` are flush right. The last column is not padded."""
    body = [[part if isinstance(part, Cell) else Cell(part) for part in row] for row in rows]
    body = [[Cell(safe(cell.text), cell.tone) for cell in row] for row in body]
    head = [Cell(header, "dim") for header in headers]
    widths = [max(cell_width(row[i].text) for row in (head, *body)) for i in range(len(headers))]
    return [_row(row, widths, [header in right for header in headers]) for row in (head, *body)]


def _row(row: Sequence[Cell], widths: Sequence[int], right: Sequence[bool]) -> Line:
    parts: list[Cell] = []
    for i, cell in enumerate(row):
        space = " " * (widths[i] - cell_width(cell.text))
        if right[i]:
            parts.append(Cell(space))
        parts.append(cell)
        if i < len(row) - 1:
            parts.append(Cell(_GAP if right[i] else space + _GAP))
    return tuple(parts)


def plain(parts: Line) -> str:
    """The text of a line, safe and without colour."""
    return "".join(safe(cell.text) for cell in parts).rstrip()


def ansi(parts: Line) -> str:
    """A line for a terminal with colour; nothing in it but our own colours can be a control character."""
    texts = [(safe(cell.text), _SGR.get(cell.tone)) for cell in parts]
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text for text, code in texts).rstrip()
