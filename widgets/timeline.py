"""Phases of an attempt with how long each took, as a block of lines or as one line. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from widgets.spans import Line, Span, fit
from widgets.theme import UNICODE, Glyphs, StyleName

PhaseState = Literal["done", "now", "failed", "waiting"]

_STYLES: dict[PhaseState, StyleName] = {"done": "green", "now": "cyan", "failed": "red", "waiting": "dim"}


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase. `seconds` is how long it has lasted, None before it starts; `text` is that as people read it.

    `note` stands behind the bar, as a progress or a reason.
    """

    name: str
    state: PhaseState
    seconds: float | None = None
    text: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """Something that happened `seconds` after the first phase began: one column on the axis of the bars."""

    seconds: float
    sign: str
    style: StyleName


def timeline(phases: Sequence[Phase], width: int, glyphs: Glyphs = UNICODE, points: Sequence[Point] = ()) -> list[Line]:
    """A line a phase: sign, name, duration, and a bar that starts where the phase before it ended.

    The bars share what is left of `width`, in proportion to all seconds; a phase that took any time gets one column.
    `points` stand in one more line, on the same axis; what came after the last bar stands at its end.
    """
    if not phases:
        return []
    names = max(cell_len(phase.name) for phase in phases)
    texts = max(cell_len(phase.text) for phase in phases)
    notes = max((cell_len(phase.note) + 2 for phase in phases if phase.note), default=0)
    room = max(0, width - names - texts - 7)
    room = max(room - notes, min(room, 10))
    total = sum(phase.seconds or 0.0 for phase in phases)
    lines: list[Line] = []
    before = 0.0
    for phase in phases:
        style = _STYLES[phase.state]
        lead, length = _span(before, phase.seconds, total, room)
        before += phase.seconds or 0.0
        bar: list[Span] = [(" " * lead, "plain"), (glyphs.bar * length, style)]
        if phase.note:
            bar += [(" " * (room - lead - length) + "  ", "plain"), (phase.note, style if length else "dim")]
        head: list[Span] = [(f" {_sign(phase.state, glyphs)} ", style), (fit(phase.name, names), "plain")]
        lines.append([*head, ("  " + phase.text.rjust(texts) + "  ", "dim"), *bar])
    if points and room > 0 and total > 0:
        lines.append([(" " * (names + texts + 7), "plain"), *_points(points, total, room)])
    return lines


def _points(points: Sequence[Point], total: float, room: int) -> list[Span]:
    """The points at their columns; where two share one, the later is seen."""
    columns: list[Span] = [(" ", "plain")] * room
    for point in points:
        columns[max(0, min(int(point.seconds / total * room), room - 1))] = point.sign, point.style
    return columns


def timeline_line(phases: Sequence[Phase], glyphs: Glyphs = UNICODE) -> list[Span]:
    """The phases that began, in one line: `preflight 0.4s ▸ pull 12s ▸ load 48s ✖`."""
    spans: list[Span] = []
    for phase in phases:
        if phase.state == "waiting":
            continue
        if spans:
            spans.append((f" {glyphs.cursor} ", "dim"))
        spans += [(phase.name, "plain"), (f" {phase.text}" if phase.text else "", "dim")]
        if phase.state != "done":
            spans.append((f" {_sign(phase.state, glyphs)}", _STYLES[phase.state]))
    return spans


def _sign(state: PhaseState, glyphs: Glyphs) -> str:
    signs = {"done": glyphs.serving, "now": glyphs.under_way, "failed": glyphs.failed, "waiting": glyphs.asleep}
    return signs[state]


def _span(before: float, seconds: float | None, total: float, room: int) -> tuple[int, int]:
    """Where a bar starts and how long it is, in columns."""
    if not seconds or total <= 0 or room <= 0:
        return 0, 0
    start = min(int(before / total * room), room - 1)
    end = round((before + seconds) / total * room)
    return start, max(1, min(end, room) - start)
