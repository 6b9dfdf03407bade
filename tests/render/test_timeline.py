"""The course of an attempt, told from its events."""

from typing import Any

from app.render.timeline import Step, steps, way_up

UP = [("pending/allocating", 0), ("pending/starting", 2), ("pending/loading", 3), ("running/serving", 10)]


def events(marks: list[tuple[str, int]], subject: str = "chat-a", cause: str = "it was so") -> list[dict[str, Any]]:
    return [{"at": 1_000 + after, "subject": subject, "to": to, "cause": cause} for to, after in marks]


def told(found: list[Step]) -> list[tuple[str, str, int | None]]:
    return [(step.name, step.state, step.us) for step in found]


def test_a_start_is_its_phases_and_how_long_each_took() -> None:
    found = steps(events(UP), "chat-a", 1_000, 1_100)
    assert told(found) == [
        ("allocating", "done", 2),
        ("starting", "done", 1),
        ("loading", "done", 7),
        ("serving", "done", 90),
    ]
    assert way_up(found) == 10
    assert [step.rest for step in found] == [False, False, False, True], "serving is no step of the way up"


def test_what_goes_on_is_followed_by_what_is_still_to_come() -> None:
    assert told(steps(events(UP[:2]), "chat-a", 1_000, 1_005)) == [
        ("allocating", "done", 2),
        ("starting", "now", 3),
        ("loading", "waiting", None),
        ("serving", "waiting", None),
    ]
    copying = [*UP[:1], ("pending/copying_files", 1)]
    assert told(steps(events(copying), "chat-a", 1_000, 1_005))[-4:] == [
        ("copying files", "now", 4),
        ("starting", "waiting", None),
        ("loading", "waiting", None),
        ("serving", "waiting", None),
    ]


def test_the_phase_that_failed_says_why_and_nothing_comes_after_it() -> None:
    found = steps([*events(UP[:3]), *events([("failed/failed", 9)], cause="HOST_OOM")], "chat-a", 1_000, 1_100)
    assert told(found)[-1] == ("loading", "failed", 6)
    assert found[-1].note == "HOST_OOM"
    assert way_up(found) is None


def test_stopping_is_followed_by_nothing() -> None:
    leaving = [*UP, ("running/draining", 20), ("running/stopping", 25)]
    assert told(steps(events(leaving), "chat-a", 1_000, 1_030))[-2:] == [
        ("draining", "done", 5),
        ("stopping", "now", 5),
    ]
    stopped = [*leaving, ("stopped/by_user", 28)]
    assert told(steps(events(stopped), "chat-a", 1_000, 1_030))[-1] == ("stopping", "done", 3)


def test_only_the_attempt_that_was_asked_for_is_told() -> None:
    first = [*UP[:3], ("failed/failed", 9)]
    second = [(to, after + 100) for to, after in UP]
    other = events(UP, "chat-b")
    everything = [*events(first), *other, *events(second)]
    assert [step.name for step in steps(everything, "chat-a", 1_100, 1_200)] == [
        "allocating",
        "starting",
        "loading",
        "serving",
    ]
    assert steps(everything, "chat-a", 1_000, 1_200)[-1].state == "failed"
    assert steps(everything, "chat-c", 1_000, 1_200) == []
