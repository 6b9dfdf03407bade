"""The options that would mend a failure, as documents and as the lines of a fix card."""

from collections.abc import Sequence
from typing import Any

from app.domain.fix import Fix
from app.domain.text import cell_width, safe
from app.render.cells import Cell, Line, line


def fix_documents(found: Sequence[Fix]) -> list[dict[str, Any]]:
    """The `fixes` of `show --json`."""
    return [{"k": fix.k, "title": fix.title, "detail": fix.detail} for fix in found]


def fix_lines(found: Sequence[Fix], lead: str = "f fix ") -> list[Line]:
    """A line an option: its number, what it changes, what speaks for it. `lead` stands before the first number."""
    width = max((cell_width(safe(fix.title)) for fix in found), default=0)
    lines = []
    for fix in found:
        start = Cell(lead if fix.k == 1 else " " * len(lead), "dim")
        title = safe(fix.title)
        gap = " " * (width - cell_width(title) + 3)
        detail = Cell(f"$ {fix.detail}" if fix.command else fix.detail, "dim")
        lines.append(line(start, Cell(f"{fix.k}  ", "accent"), title, gap, detail))
    return lines
