"""The flight record of an attempt: all that is known of it on one time axis, from what was written down meanwhile.

Nothing of it is kept in a process: events, findings and the attempt's row are in the store, and an end that nobody
wrote there is in the attempt's directory. So it is the same after a crash of anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.facts import Attempt
from app.domain.findings import Finding, label

Kind = Literal["phase", "action", "milestone", "recovered", "failure", "end"]
_ORDER: tuple[Kind, ...] = ("action", "phase", "milestone", "recovered", "failure", "end")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `at` (UTC microseconds). `text` is a word or two, `detail` the evidence or the cause.

    `line` is the line of the log that says so, counted from 1, None if none does.
    """

    at: int
    kind: Kind
    text: str
    detail: str = ""
    line: int | None = None


def flight_record(
    attempt: Attempt,
    instance: str,
    events: Iterable[Mapping[str, Any]],
    findings: Iterable[tuple[int, Finding]] = (),
    until: int | None = None,
) -> list[Mark]:
    """What happened in `attempt` of `instance`, in order.

    `events` are documents of the deployment's timeline, `findings` those in the attempt's output with the time at which
    each came. `until` is when the next attempt began, None for the last one. What people asked for meanwhile is told
    too: it is why things happened.
    """
    end = until or 2**63
    marks = [_event(e) for e in events if attempt.created_at <= e["at"] < end and _concerns(e, instance)]
    recognised = list(findings)
    # What stands in the log is told there, and not a second time as what became of it.
    told = {(found.kind, found.code, found.evidence) for _, found in recognised}
    marks = [mark for mark in marks if (mark.kind, mark.text, mark.detail) not in told]
    marks += [Mark(at, found.kind, label(found), found.evidence, found.line) for at, found in recognised]
    if attempt.placement is not None:
        marks.append(Mark(attempt.created_at, "phase", "placed", attempt.placement.words))
    if attempt.ended_at is not None:
        marks.append(Mark(attempt.ended_at, "end", _how(attempt)))
    return sorted(marks, key=_place)


def _place(mark: Mark) -> tuple[int, int, int]:
    """By time; within one moment as the log has it, between what was begun and what came of it."""
    return mark.at, _ORDER.index("milestone" if mark.line is not None else mark.kind), mark.line or 0


def _concerns(event: Mapping[str, Any], instance: str) -> bool:
    return bool(event["subject"] == instance or event["actor"] != "server")


def _event(event: Mapping[str, Any]) -> Mark:
    if event["actor"] != "server":
        by = f"by {event['actor']}"
        return Mark(event["at"], "action", event["cause"], f"{by}: {event['detail']}" if event["detail"] else by)
    state, _, phase = event["to"].partition("/")
    kind: Kind = "failure" if state == "failed" else "phase"
    text = event["cause"] if kind == "failure" else (phase or state).replace("_", " ")
    return Mark(event["at"], kind, text, event["detail"] if kind == "failure" else event["cause"])


def _how(attempt: Attempt) -> str:
    if attempt.exit_signal is not None:
        return f"ended by signal {attempt.exit_signal}"
    return "ended" if attempt.exit_code is None else f"ended with exit code {attempt.exit_code}"
