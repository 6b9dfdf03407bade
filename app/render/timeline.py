"""The course of one attempt: its phases, from the events that tell of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.lifecycle import Phase, State
from app.render.words import span

StepState = Literal["done", "now", "failed", "waiting"]

_TO_COME = (Phase.STARTING, Phase.LOADING, Phase.SERVING)
"""Phases that every start passes through; the others only where there is something to do in them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One phase. `us` is how long it has lasted in microseconds, None before it starts; `note` says what came of it.

    `rest` marks a phase that is no step of the way up: serving may last for weeks, and no bar can show it beside them.
    """

    name: str
    state: StepState
    us: int | None = None
    note: str = ""
    rest: bool = False

    @property
    def text(self) -> str:
        """How long it has lasted, for a person."""
        return "" if self.us is None else span(self.us)


def steps(events: Iterable[Mapping[str, Any]], instance: str, began: int, now: int) -> list[Step]:
    """The phases of the attempt of `instance` that began at `began`, oldest first, with those still to come.

    `events` are documents of the deployment's events, oldest first. An event of another attempt ends the list.
    """
    own = [e for e in events if e["subject"] == instance and e["at"] >= began]
    marks = [(e["at"], *_where(e["to"]), e["cause"]) for e in own]
    another = next((n for n, mark in enumerate(marks) if n and mark[2] == Phase.ALLOCATING), len(marks))
    marks = marks[:another]
    found: list[Step] = []
    for n, (at, state, phase, _cause) in enumerate(marks):
        if state in (State.FAILED, State.STOPPED, "gone"):
            break
        after = marks[n + 1] if n + 1 < len(marks) else None
        until = now if after is None else after[0]
        rest = phase == Phase.SERVING
        if after is not None and after[1] == State.FAILED:
            found.append(Step(_word(phase), "failed", until - at, after[3], rest))
        else:
            found.append(Step(_word(phase), "now" if after is None and not rest else "done", until - at, "", rest))
    return found + (_to_come(found) if marks and found and found[-1].state == "now" else [])


def way_up(found: Sequence[Step]) -> int | None:
    """How long it took from the start until it served, in microseconds; None while it does not."""
    names = [step.name for step in found]
    if Phase.SERVING not in names:
        return None
    return sum(step.us or 0 for step in found[: names.index(Phase.SERVING)])


def _to_come(found: Sequence[Step]) -> list[Step]:
    last = found[-1].name
    if last in (_word(Phase.DRAINING), _word(Phase.STOPPING)):
        return []
    reached = [n for n, phase in enumerate(_TO_COME) if phase == last]
    return [Step(_word(phase), "waiting") for phase in _TO_COME[reached[0] + 1 if reached else 0 :]]


def _where(to: str) -> tuple[str, str]:
    """State and phase, from the words of an event; `gone` for both once there is nothing left."""
    state, _, phase = to.partition("/")
    return state, phase or state


def _word(phase: str) -> str:
    return phase.replace("_", " ")
