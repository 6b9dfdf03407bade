"""The flight record of an attempt as a document and as lines: each moment by how long after the start it came."""

from collections.abc import Sequence
from typing import Any

from app.domain.flight import Kind, Mark
from app.render.cells import Cell, Line, Tone, line, table
from app.render.words import latency, moment

SIGNS: dict[Kind, tuple[str, Tone]] = {
    "phase": ("◐", "busy"),
    "action": ("▸", "accent"),
    "milestone": ("·", "dim"),
    "recovered": ("○", "look"),
    "failure": ("✖", "bad"),
    "end": ("○", "dim"),
}


def flight_documents(instance: str, attempt: int, marks: Sequence[Mark], began: int) -> list[dict[str, Any]]:
    """What `events --attempt --json` prints of one attempt; `after_us` is since it began."""
    return [
        {
            "instance": instance,
            "attempt": attempt,
            "at": mark.at,
            "after_us": mark.at - began,
            "kind": mark.kind,
            "text": mark.text,
            "line": mark.line,
            "detail": mark.detail,
        }
        for mark in marks
    ]


def flight_lines(instance: str, attempt: int, marks: Sequence[Mark], began: int) -> list[Line]:
    """The same for a person."""
    head = line(Cell(instance, "accent"), f"  attempt {attempt}", Cell(f"  began {moment(began)}", "dim"))
    return [head, *table(("AFTER", "", "WHAT", "WHY"), [_row(mark, began) for mark in marks], right=("AFTER",))]


def _row(mark: Mark, began: int) -> tuple[Cell | str, ...]:
    sign, tone = SIGNS[mark.kind]
    where = f"line {mark.line:,}  " if mark.line is not None else ""
    return latency(max(0, mark.at - began)), Cell(sign, tone), Cell(mark.text, tone), f"{where}{mark.detail}"
