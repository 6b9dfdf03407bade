"""When somebody who waits for a wish may stop waiting."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain.facts import Attempt, Deployment, Instance
from app.domain.lifecycle import Phase, State
from app.domain.settled import settled

WISHED = 1_000


def an_instance(state: State = State.RUNNING, phase: Phase = Phase.SERVING, **more: Any) -> Instance:
    values: dict[str, Any] = {"variant_id": "new", "attempt": Attempt("t", 1, WISHED + 1)}
    return Instance("i", "demo-a", backend="process", state=state, phase=phase, since=1, created_at=1, **values | more)


def a_deployment(*found: Instance, wish: Any = "running", **more: Any) -> Deployment:
    return Deployment("d", "demo", wish, WISHED, 1, "new", "REQUESTED", 1, instances=found, **more)


FAILED = an_instance(State.FAILED, Phase.FAILED, failure_code="BAD_FLAG", failed_at=WISHED + 5)
OLD = an_instance(variant_id="old")
SHUT_DOWN = an_instance(State.STOPPED, Phase.BY_SHUTDOWN)


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (None, "reached"),
        (a_deployment(), "under way"),
        (a_deployment(an_instance()), "reached"),
        (a_deployment(an_instance(State.PENDING, Phase.LOADING)), "under way"),
        (a_deployment(OLD), "under way"),
        (a_deployment(OLD, an_instance()), "under way"),
        (a_deployment(OLD, FAILED), "failed"),
        (a_deployment(FAILED), "failed"),
        (a_deployment(FAILED, an_instance()), "reached"),
        (a_deployment(FAILED, an_instance(State.PENDING, Phase.LOADING)), "under way"),
        (a_deployment(replace(FAILED, retry_at=WISHED + 9)), "under way"),
        (a_deployment(replace(FAILED, failed_at=WISHED - 1)), "under way"),
        (a_deployment(an_instance(State.STOPPED, Phase.BY_SHUTDOWN)), "under way"),
        (a_deployment(replace(SHUT_DOWN, since=WISHED + 1)), "at rest"),
        (a_deployment(replace(SHUT_DOWN, since=WISHED + 1, attempt=Attempt("t", 1, 1, ended_at=1))), "under way"),
        (a_deployment(replace(SHUT_DOWN, since=WISHED + 1), restart_at=WISHED + 2), "under way"),
        (a_deployment(replace(SHUT_DOWN, since=WISHED + 1), an_instance(State.PENDING, Phase.LOADING)), "under way"),
        (a_deployment(an_instance(), restart_at=WISHED + 2), "under way"),
        (a_deployment(an_instance(), restart_at=WISHED + 1), "reached"),
        (a_deployment(replace(FAILED, failed_at=WISHED + 5), restart_at=WISHED + 6), "under way"),
        (a_deployment(an_instance(State.STOPPED, Phase.BY_USER), wish="stopped"), "reached"),
        (a_deployment(wish="stopped"), "reached"),
        (a_deployment(an_instance(State.RUNNING, Phase.DRAINING), wish="stopped"), "under way"),
        (a_deployment(an_instance(State.STOPPED, Phase.BY_USER), wish="gone"), "under way"),
        (a_deployment(wish="gone"), "under way"),
    ],
)
def test_settled(deployment: Deployment | None, expected: str) -> None:
    assert settled(deployment) == expected
