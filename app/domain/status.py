"""The status of a deployment: derived from what is wished and what its instances are doing, never stored as truth."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, Protocol

from app.domain.lifecycle import Phase, State

DAMAGED = " is damaged: "
"""In the evidence of a file that is not what it should be by its size or checksum, and has to be fetched again."""


class Status(StrEnum):
    """The words of the field for a deployment. Order of precedence is `derive`'s."""

    REQUESTED = "REQUESTED"
    DEPLOYING = "DEPLOYING"
    INITIALIZING = "INITIALIZING"
    DEPLOYED = "DEPLOYED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    FAILED = "FAILED"
    MUST_REDOWNLOAD = "MUST_REDOWNLOAD"
    UNREACHABLE = "UNREACHABLE"


Wish = Literal["running", "stopped", "gone"]


class InstanceLike(Protocol):
    """What `derive` needs of an instance; `app.domain.facts.Instance` is one."""

    @property
    def state(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def failure_code(self) -> str | None: ...
    @property
    def failure_evidence(self) -> str | None: ...
    @property
    def retry_at(self) -> int | None: ...
    @property
    def unreachable_since(self) -> int | None: ...


def derive(wish: str, want: int, instances: Sequence[InstanceLike]) -> tuple[Status, str]:
    """The status of a deployment that should have `want` replicas, and a detail such as `1/2 degraded`.

    Total: every wish and every set of instances has exactly one status. First match wins.
    """
    if wish != "running":
        up = any(i.state in (State.RUNNING, State.PENDING) for i in instances)
        if up or (wish == "gone" and instances):
            return Status.STOPPING, ""
        return Status.STOPPED, ""
    serving = sum(_serves(i) for i in instances)
    if not serving and any(_weights_missing(i) for i in instances):
        return Status.MUST_REDOWNLOAD, _failed_detail(instances)
    if serving:
        return Status.DEPLOYED, f"{min(serving, want)}/{want}" + (" degraded" if serving < want else "")
    if instances and all(i.unreachable_since is not None for i in instances):
        return Status.UNREACHABLE, ""
    phases = {i.phase for i in instances}
    if Phase.LOADING in phases:
        return Status.INITIALIZING, ""
    for phase in _UNDER_WAY:
        if phase in phases:
            return Status.DEPLOYING, phase.value
    if Phase.STOPPING in phases:
        return Status.DEPLOYING, "restarting"
    if any(i.state == State.FAILED for i in instances):
        retried = any(i.retry_at is not None for i in instances if i.state == State.FAILED)
        return (Status.ERROR if retried else Status.FAILED), _failed_detail(instances)
    if any(i.state == State.STOPPED for i in instances):
        if Phase.BY_BILLING in phases:
            return Status.STOPPED, "BILLING_BLOCKED"
        return Status.STOPPED, "by shutdown" if Phase.BY_SHUTDOWN in phases else ""
    return Status.REQUESTED, ""


_UNDER_WAY = (Phase.STARTING, Phase.COPYING_FILES, Phase.PULLING_IMAGE, Phase.ALLOCATING, Phase.REGISTERING)


def _serves(instance: InstanceLike) -> bool:
    up = instance.state == State.RUNNING and instance.phase != Phase.STOPPING
    return up and instance.unreachable_since is None


def _weights_missing(instance: InstanceLike) -> bool:
    if instance.state != State.FAILED:
        return False
    damaged = instance.failure_code == "MODEL_LOAD_ERROR" and DAMAGED in (instance.failure_evidence or "")
    return damaged or instance.failure_code == "MUST_REDOWNLOAD"


def _failed_detail(instances: Sequence[InstanceLike]) -> str:
    return next((i.failure_code for i in instances if i.state == State.FAILED and i.failure_code), "")
