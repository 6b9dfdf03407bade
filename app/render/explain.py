"""What a code, status or phase means: as a document, as lines, and as rows of the help screen."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.explain import GROUPS, Explanation
from app.render.cells import Cell, Line, line
from app.render.words import span

HELP_WIDTH = 44
"""Columns of a text among the keys of the help screen, which stand two abreast from 100 columns on."""


def explanation_document(found: Explanation, usual: Mapping[str, int]) -> dict[str, Any]:
    """What `explain --json` prints of one. `usual` is what each phase takes here, in microseconds."""
    return {
        "word": found.word,
        "kind": found.kind,
        "group": found.group,
        "meaning": found.meaning,
        "remedy": found.remedy,
        "then": found.then,
        "usual_us": usual.get(found.word) if found.kind == "phase" else None,
    }


def explanation_lines(found: Explanation, usual: Mapping[str, int]) -> list[Line]:
    """One of them for a person."""
    about = found.kind if not found.group else f"{found.kind}, {found.group}"
    return [
        line(Cell(found.word, "accent"), Cell(f"   {about}", "dim")),
        *(line(Cell(f"{title:<9}", "dim"), text) for title, text in _rows(found, usual)),
    ]


def overview_lines(found: Iterable[Explanation]) -> list[Line]:
    """All of them: a heading a group, a line each."""
    lines: list[Line] = []
    everything = list(found)
    width = max(len(each.word) for each in everything)
    for title in (*GROUPS, "status", "phase"):
        own = [each for each in everything if title in (each.group, each.kind)]
        lines += [
            line(Cell(title, "accent")),
            *(line(f"  {e.word:<{width}}  ", Cell(e.meaning, "dim")) for e in own),
            line(),
        ]
    return lines[:-1]


def help_rows(found: Explanation, usual: Mapping[str, int]) -> list[tuple[str, str]]:
    """One of them for the help screen: what it is about, and the text in pieces that fit beside the keys."""
    rows = []
    for title, text in _rows(found, usual):
        first, *rest = textwrap.wrap(text, HELP_WIDTH)
        rows += [(title, first), *(("", piece) for piece in rest)]
    return rows


def _rows(found: Explanation, usual: Mapping[str, int]) -> list[tuple[str, str]]:
    takes = usual.get(found.word) if found.kind == "phase" else None
    rows = [("means", found.meaning), ("do", found.remedy)]
    rows += [("then", found.then)] if found.then else []
    return rows + ([("takes", f"{span(takes)} here, usually")] if takes is not None else [])
