"""Whether what was wished of a deployment has come true, for whoever waits for it."""

from typing import Literal

from app.domain.facts import Deployment, Instance
from app.domain.lifecycle import Phase, State
from app.domain.status import Status, derive

Outcome = Literal["reached", "failed", "at rest", "under way"]


def settled(deployment: Deployment | None) -> Outcome:
    """How far the wish of `deployment` is; None is one that is gone.

    A wish to run is reached when a replica of the current variant, started after any restart that was asked for,
    serves and nothing older is left. It has failed when no replica of that variant will be tried again; failures from
    before the wish do not count; being stopped for want of money does. A failure with a planned retry is
    still under way. It is at rest when everything was shut down and nobody has asked for it to start since.
    """
    if deployment is None:
        return "reached"
    status, _ = derive(deployment.wish, deployment.replicas, deployment.instances)
    if deployment.wish != "running":
        return "reached" if deployment.wish == "stopped" and status is Status.STOPPED else "under way"
    current = [i for i in deployment.instances if i.variant_id == deployment.variant_id]
    asked_at = max(deployment.wish_at, deployment.restart_at or 0)
    if any(i.state is State.RUNNING and i.phase is Phase.SERVING and not _stale(i, deployment) for i in current):
        left = any(i not in current or _stale(i, deployment) for i in deployment.instances)
        return "under way" if left else "reached"
    if deployment.instances and all(i.down_at is not None and i.down_at >= asked_at for i in deployment.instances):
        return "at rest"
    if current and all(_failed_for_good(i, asked_at) or i.phase is Phase.BY_BILLING for i in current):
        return "failed"
    return "under way"


def _stale(instance: Instance, deployment: Deployment) -> bool:
    """Whether a restart that was asked for has not reached the instance yet."""
    attempt, restart_at = instance.attempt, deployment.restart_at
    return restart_at is not None and attempt is not None and attempt.created_at < restart_at


def _failed_for_good(instance: Instance, asked_at: int) -> bool:
    failed = instance.state is State.FAILED and instance.retry_at is None
    return failed and (instance.failed_at or 0) >= asked_at
