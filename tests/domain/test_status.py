"""Every wish and every set of instances has exactly one status, the first that matches."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.lifecycle import PHASES, Phase, State
from app.domain.status import Status, Wish, derive


@dataclass(frozen=True)
class Replica:
    state: State
    phase: Phase
    failure_code: str | None = None
    failure_evidence: str | None = None
    retry_at: int | None = None
    unreachable_since: int | None = None


def at(phase: Phase, code: str | None = None, retry: int | None = None, *, unreachable: bool = False) -> Replica:
    (state,) = (state for state, phases in PHASES.items() if phase in phases)
    return Replica(state, phase, code, None, retry, 1 if unreachable else None)


SERVING, STOPPED = at(Phase.SERVING), at(Phase.BY_USER)
RETRIED, FAILED = at(Phase.FAILED, "CONTAINER_EXITED", 9), at(Phase.FAILED, "HOST_OOM")
LOST, GONE = at(Phase.SERVING, unreachable=True), at(Phase.FAILED, "MUST_REDOWNLOAD")
replicas = st.builds(
    at,
    st.sampled_from(Phase),
    st.sampled_from([None, "CONTAINER_EXITED", "MUST_REDOWNLOAD"]),
    st.sampled_from([None, 9]),
    unreachable=st.booleans(),
)


@given(st.sampled_from(["running", "stopped", "gone"]), st.integers(1, 5), st.lists(replicas, max_size=6))
def test_it_is_total_and_does_not_depend_on_order(wish: Wish, want: int, instances: list[Replica]) -> None:
    status, detail = derive(wish, want, instances)
    assert isinstance(status, Status)
    assert isinstance(detail, str)
    assert derive(wish, want, list(reversed(instances)))[0] is status


@given(st.integers(1, 5), st.lists(replicas, max_size=6))
def test_deployed_means_that_something_serves(want: int, instances: list[Replica]) -> None:
    serves = any(i.phase in (Phase.SERVING, Phase.DRAINING) and i.unreachable_since is None for i in instances)
    assert (derive("running", want, instances)[0] is Status.DEPLOYED) is serves


@pytest.mark.parametrize(
    ("instances", "status", "detail"),
    [
        ([], Status.REQUESTED, ""),
        ([SERVING, SERVING], Status.DEPLOYED, "2/2"),
        ([SERVING, SERVING, SERVING], Status.DEPLOYED, "2/2"),
        ([SERVING, GONE, LOST], Status.DEPLOYED, "1/2 degraded"),
        ([at(Phase.DRAINING)], Status.DEPLOYED, "1/2 degraded"),
        ([GONE, at(Phase.LOADING)], Status.MUST_REDOWNLOAD, "MUST_REDOWNLOAD"),
        ([LOST, at(Phase.LOADING, unreachable=True)], Status.UNREACHABLE, ""),
        ([LOST, at(Phase.LOADING)], Status.INITIALIZING, ""),
        ([at(Phase.LOADING), at(Phase.ALLOCATING), FAILED], Status.INITIALIZING, ""),
        ([at(Phase.REGISTERING), at(Phase.COPYING_FILES), FAILED], Status.DEPLOYING, "copying_files"),
        ([at(Phase.STARTING)], Status.DEPLOYING, "starting"),
        ([at(Phase.REGISTERING)], Status.DEPLOYING, "registering"),
        ([at(Phase.STOPPING), FAILED], Status.DEPLOYING, "restarting"),
        ([RETRIED, FAILED], Status.ERROR, "CONTAINER_EXITED"),
        ([FAILED, FAILED], Status.FAILED, "HOST_OOM"),
        ([STOPPED, FAILED], Status.FAILED, "HOST_OOM"),
        ([STOPPED, RETRIED], Status.ERROR, "CONTAINER_EXITED"),
        ([at(Phase.BY_SHUTDOWN)], Status.STOPPED, "by shutdown"),
        ([STOPPED], Status.STOPPED, ""),
    ],
)
def test_precedence_while_wished_to_run(instances: list[Replica], status: Status, detail: str) -> None:
    assert derive("running", 2, instances) == (status, detail)


@pytest.mark.parametrize("phase", [p for p in Phase if p not in PHASES[State.NON_BOOTSTRAP]])
def test_a_wish_to_stop_is_stopping_until_nothing_is_up(phase: Phase) -> None:
    up = phase in (*PHASES[State.PENDING], *PHASES[State.RUNNING])
    assert derive("stopped", 2, [at(phase), STOPPED])[0] is (Status.STOPPING if up else Status.STOPPED)
    assert derive("stopped", 2, [replace(at(phase), unreachable_since=1)])[0] is (
        Status.STOPPING if up else Status.STOPPED
    )


def test_a_wish_to_go_is_stopping_until_no_instance_is_left() -> None:
    assert derive("gone", 1, [STOPPED]) == (Status.STOPPING, "")
    assert derive("gone", 1, []) == (Status.STOPPED, "")
