"""The options that would mend a failure, as documents and as the lines of a fix card."""

from collections.abc import Sequence
from typing import Any

from app.domain.fix import MOST, Fix
from app.domain.text import cell_width, safe
from app.render.cells import Cell, Line, line


def fix_documents(found: Sequence[Fix]) -> list[dict[str, Any]]:
    """The `fixes` of `show --json`."""
    return [{"k": fix.k, "title": fix.title, "detail": fix.detail} for fix in found]


def fix_lines(found: Sequence[Fix], lead: str = "f fix ", most: int = MOST) -> list[Line]:
    """A line an option: its number, what it changes, what speaks for it; at most `most` of them.

    `lead` stands before the first number.
    """
    shown = found[:most]
    width = max((cell_width(safe(fix.title)) for fix in shown), default=0)
    lines = []
    for fix in shown:
        start = Cell(lead if fix.k == 1 else " " * len(lead), "dim")
        title = safe(fix.title)
        gap = " " * (width - cell_width(title) + 3)
        detail = Cell(f"$ {fix.detail}" if fix.command else fix.detail, "dim")
        lines.append(line(start, Cell(f"{fix.k}  ", "accent"), title, gap, detail))
    if len(found) > len(shown):
        lines.append(line(Cell(f"{' ' * len(lead)}{len(found) - len(shown)} more", "dim")))
    return lines
