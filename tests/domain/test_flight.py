"""The flight record: everything of an attempt in order on one axis, and nothing of another."""

from dataclasses import replace
from typing import Any

from app.domain.facts import Attempt
from app.domain.findings import Finding, label
from app.domain.flight import Mark, flight_record
from app.domain.placement import Placement

S = 1_000_000


def event(
    at: int, to: str, cause: str, subject: str = "demo-a", actor: str = "server", detail: str = ""
) -> dict[str, Any]:
    return {"at": at * S, "subject": subject, "from": None, "to": to, "cause": cause, "actor": actor, "detail": detail}


EVENTS = [
    event(1, "pending/allocating", "wished to run"),
    event(1, "pending/allocating", "wished to run", subject="demo-b"),
    event(2, "pending/loading", "the engine is reading the weights"),
    event(3, "FAILED", "stop", subject="demo", actor="ada"),
    event(5, "failed/failed", "HOST_OOM", detail="insufficient memory"),
    event(9, "pending/allocating", "asked to start"),
]
ATTEMPT = Attempt("x", 1, created_at=1 * S, ended_at=5 * S, exit_code=1)


def test_all_that_happened_in_order() -> None:
    findings = [
        (4 * S, Finding("kv-size", "kv", "milestone", 12, "KV buffer size = 45.00 MiB")),
        (5 * S, Finding("memory", "HOST_OOM", "failure", 40, "insufficient memory")),
    ]
    found = flight_record(ATTEMPT, "demo-a", EVENTS, findings, until=9 * S)
    assert [(mark.at // S, mark.kind, mark.text) for mark in found] == [
        (1, "phase", "allocating"),
        (2, "phase", "loading"),
        (3, "action", "stop"),
        (4, "milestone", label(findings[0][1])),
        (5, "failure", "HOST_OOM"),
        (5, "end", "ended with exit code 1"),
    ]
    assert found[4] == Mark(5 * S, "failure", "HOST_OOM", "insufficient memory", 40), "told once, where it stands"
    assert found[2].detail == "by ada"


def test_where_it_was_placed_is_told_as_it_begins() -> None:
    there = Placement("docker@gpu1 L40S", "docker", "gpu1", (0, 1), 1_200_000)
    found = flight_record(replace(ATTEMPT, placement=there), "demo-a", EVENTS, until=9 * S)
    assert found[1] == Mark(1 * S, "phase", "placed", "docker@gpu1 L40S (0, 1) at 1.20 an hour")


def test_the_last_attempt_is_open_and_a_signal_is_named() -> None:
    running = Attempt("y", 2, created_at=9 * S)
    assert [mark.text for mark in flight_record(running, "demo-a", EVENTS)] == ["allocating"]
    killed = Attempt("y", 2, created_at=9 * S, ended_at=11 * S, exit_signal=9)
    assert flight_record(killed, "demo-a", EVENTS)[-1].text == "ended by signal 9"
