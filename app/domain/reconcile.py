"""What to do next: wishes, rows and observations in, actions out. Pure, level-triggered, and idempotent.

Nothing here remembers an event. Losing, doubling or reordering observations leads to the same end, because every
decision is made from what is wished and what is, and every action is either a row or a call that may be repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.domain.facts import Attempt, Deployment, Ended, Instance, Seen, World
from app.domain.failures import CATALOGUE, HEALTHY_AFTER_US, retry_delay_us
from app.domain.lifecycle import Phase, State
from app.domain.roles import Plan, Role, assign

DRAIN_US = 30_000_000
"""How long a user's stop waits for requests in flight; a rollout waits for as long as it takes."""
STOP_GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Add:
    """A new instance of the deployment's current variant."""

    deployment_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of one instance change together: a transition if `to` is set, with columns of instance and attempt.

    `drain` asks the store to note the generation at which the gateway is told to let go.
    """

    instance_id: str
    cause: str
    to: tuple[State, Phase] | None = None
    instance: dict[str, Any] = field(default_factory=dict)
    attempt: dict[str, Any] = field(default_factory=dict)
    drain: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Begin:
    """A new attempt: its row is the intent that `Create` then carries out."""

    instance_id: str
    cause: str
    forgive: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring the weights of the instance's variant to this machine."""

    instance_id: str
    variant_id: str


@dataclass(frozen=True, slots=True)
class Create:
    """Ask the backend to start the attempt."""

    instance_id: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the backend to end the attempt."""

    instance_id: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """Let the backend forget an ended attempt."""

    instance_id: str
    attempt_id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """The instance is gone: nothing of it is left anywhere."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The deployment is gone."""

    deployment_id: str


Action = Add | Change | Begin | Fetch | Create | Stop | Release | Remove | Finish


def reconcile(deployment: Deployment, world: World) -> list[Action]:
    """The actions that bring `deployment` nearer to its wish, in the order to take them. Empty at the fixed point."""
    if deployment.wish == "gone" and not deployment.instances:
        return [Finish(deployment.id)]
    plan = assign(deployment, world)
    room = plan.room
    actions: list[Action] = [Add(deployment.id) for _ in range(plan.missing)]
    for instance in deployment.instances:
        if instance.id in world.busy:
            continue
        for action in _step(deployment, instance, plan, world):
            if isinstance(action, Begin):
                room -= 1
                if room < 0:
                    continue
            actions.append(action)
    return actions


def _step(deployment: Deployment, instance: Instance, plan: Plan, world: World) -> Iterator[Action]:
    role = plan.roles[instance.id]
    if instance.backend in world.unlooked:
        if role is Role.REMOVE and deployment.forget:
            yield Remove(instance.id)
        return
    attempt = instance.attempt
    seen = world.seen.get(attempt.id) if attempt is not None else None
    if attempt is not None and attempt.ended_at is None:
        if seen is not None and seen.ended is None:
            yield from _alive(deployment, instance, attempt, plan, seen, world)
        elif seen is not None and seen.ended is not None:
            yield _ended(instance, attempt, seen.ended, plan, world)
        elif attempt.started_at is not None:
            vanished = Ended(world.now, "KILLED_EXTERNALLY", "the backend no longer has it")
            yield _ended(instance, attempt, vanished, plan, world)
        else:
            yield from _uncreated(instance, attempt, plan, world)
    elif attempt is not None and seen is not None and seen.ended is None:
        # It was given up before the backend got round to starting it: nothing begins beside it, nothing is let go of.
        if attempt.id not in world.stops_sent:
            yield Stop(instance.id, attempt.id)
    elif role is Role.KEEP:
        yield from _revive(deployment, instance, plan, world)
    else:
        yield from _leave(instance, plan)


def _alive(
    deployment: Deployment, instance: Instance, attempt: Attempt, plan: Plan, seen: Seen, world: World
) -> Iterator[Action]:
    role, why = plan.roles[instance.id], plan.why.get(instance.id, "was leaving already")
    # What is only being prepared is not there yet: were it gone at the next look, it would be begun again.
    if attempt.started_at is None and not seen.preparing:
        yield Change(instance.id, "seen at the backend", attempt={"started_at": seen.started_at})
    observed = {
        "pid": seen.pid,
        "endpoint": seen.endpoint,
        "container": seen.container,
        "progress": seen.fetching,
    }
    if any(getattr(instance, name) != value for name, value in observed.items()):
        yield Change(instance.id, "observed", instance=observed)
    if attempt.stop_at is not None:
        if attempt.id not in world.stops_sent:
            yield Stop(instance.id, attempt.id)
    elif role is Role.KEEP and (too_long := _overdue(attempt, seen, world)):
        yield _give_up(instance, too_long, world)
        yield Stop(instance.id, attempt.id)
    elif role is Role.KEEP and instance.phase is not Phase.DRAINING:
        yield from _progress(instance, attempt, seen, world.now)
    elif instance.phase is Phase.SERVING and not deployment.stop_now:
        until = world.now + DRAIN_US if _impatient(deployment, world) else None
        yield Change(instance.id, why, (State.RUNNING, Phase.DRAINING), {"drain_until": until}, drain=True)
    elif instance.phase is Phase.DRAINING and not _let_go(deployment, instance, world):
        if _impatient(deployment, world) and instance.drain_until is None:
            yield Change(instance.id, why, instance={"drain_until": world.now + DRAIN_US})
    else:
        to = (State.RUNNING, Phase.STOPPING) if instance.state is State.RUNNING else None
        yield Change(instance.id, why, to, attempt={"stop_at": world.now})
        yield Stop(instance.id, attempt.id)


def _overdue(attempt: Attempt, seen: Seen, world: World) -> str:
    """Why a start is not waited for any longer, empty while it is: what it was at, and since when nothing has moved."""
    if attempt.ready_at is not None or seen.ready or attempt.started_at is None:
        return ""
    was = f"; the last it was seen at: {seen.progress}" if seen.progress else ""
    if seen.moved_at is not None and world.now - seen.moved_at >= world.patience.stall_us:
        quiet = (world.now - seen.moved_at) // 1_000_000
        return f"no line, no byte and no memory taken for {quiet} s, since {_clock(seen.moved_at)}{was}"
    if world.now - attempt.started_at >= world.patience.ceiling_us:
        took = (world.now - attempt.started_at) // 1_000_000
        return f"not ready {took} s after its start at {_clock(attempt.started_at)}{was}"
    return ""


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1_000_000, UTC):%H:%M:%S} UTC"


def _give_up(instance: Instance, why: str, world: World) -> Change:
    """End a start that takes too long; once it has ended, it has failed."""
    row = {"stop_at": world.now, "failure_code": "STARTUP_TIMEOUT"}
    return Change(instance.id, "STARTUP_TIMEOUT", instance={"failure_evidence": why}, attempt=row)


def _impatient(deployment: Deployment, world: World) -> bool:
    """Whether somebody waits for the stop; a rollout lets requests in flight take as long as they need."""
    return deployment.wish != "running" or world.shutting_down or deployment.id in world.blocked


def _let_go(deployment: Deployment, instance: Instance, world: World) -> bool:
    """Whether a draining instance may be stopped: nothing is in flight to it, or nobody may wait any longer."""
    overdue = instance.drain_until is not None and world.now >= instance.drain_until
    hurried = deployment.stop_now and deployment.wish != "running"
    return instance.drained or overdue or hurried or not world.gateway_up


def _progress(instance: Instance, attempt: Attempt, seen: Seen, now: int) -> Iterator[Action]:
    def move(state: State, phase: Phase, cause: str, **more: Any) -> Change:
        return Change(instance.id, cause, (state, phase), **more)

    phase = instance.phase
    if seen.preparing:
        if phase is Phase.ALLOCATING:
            yield move(State.PENDING, Phase.PULLING_IMAGE, "the host fetches what it needs")
    elif instance.state is State.PENDING:
        if phase in (Phase.ALLOCATING, Phase.PULLING_IMAGE, Phase.COPYING_FILES):
            yield move(State.PENDING, Phase.STARTING, "the engine was started")
            phase = Phase.STARTING
        # Readiness implies loading: a quick engine passes through it between two looks, and history says so.
        if phase is Phase.STARTING and (seen.loading or seen.ready):
            yield move(State.PENDING, Phase.LOADING, "the engine is reading the weights")
            phase = Phase.LOADING
        if phase is Phase.LOADING and seen.ready and not seen.lost:
            yield move(
                State.RUNNING,
                Phase.SERVING,
                "the engine answered with a token",
                instance={"ready_at": now, "served": 1, "retry_at": None},
                attempt={"ready_at": now} if attempt.ready_at is None else {},
            )
    elif seen.lost:
        yield move(State.PENDING, Phase.LOADING, "the engine stopped answering", instance={"ready_at": None})
    elif instance.failure_count and instance.ready_at is not None and now - instance.ready_at >= HEALTHY_AFTER_US:
        yield Change(instance.id, "served for ten minutes", instance={"failure_count": 0})


def _ended(instance: Instance, attempt: Attempt, ended: Ended, plan: Plan, world: World) -> Change:
    row: dict[str, Any] = {
        "ended_at": ended.at,
        "ended_boot_us": ended.boot_us,
        "exit_code": ended.exit_code,
        "exit_signal": ended.exit_signal,
    }
    down: dict[str, Any] = dict.fromkeys(("pid", "endpoint", "progress", "ready_at", "drain_until"))
    if ended.rebooted:
        return Change(instance.id, "the machine went down", (State.STOPPED, Phase.BY_SHUTDOWN), down, row)
    if attempt.failure_code is not None:
        ended = replace(ended, code=attempt.failure_code, evidence=instance.failure_evidence or "")
    elif attempt.stop_at is not None:
        return Change(instance.id, "the engine ended", (State.STOPPED, plan.rest), down | _unpaid(instance, plan), row)
    # Whatever the code: an engine that fails in two ways by turns would else be started for ever, and without a pause.
    healthy = instance.ready_at is not None and ended.at - instance.ready_at >= HEALTHY_AFTER_US
    count = 1 if healthy else instance.failure_count + 1
    delay = retry_delay_us(ended.code, count, instance.served, ended.evidence)
    if instance.id in world.elsewhere and CATALOGUE[ended.code].elsewhere:
        delay = 0  # another host has done nothing to be waited for
    failure: dict[str, Any] = {
        "failure_code": ended.code,
        "failure_evidence": ended.evidence,
        "failure_count": count,
        "failed_at": world.now,
        "retry_at": None if delay is None else world.now + delay,
    }
    row = {**row, "failure_code": ended.code, "kept": int(count == 1)}
    return Change(instance.id, ended.code, (State.FAILED, Phase.FAILED), down | failure, row, detail=ended.evidence)


def _unpaid(instance: Instance, plan: Plan) -> dict[str, Any]:
    """What an instance that is stopped for want of money says of it."""
    if plan.rest is not Phase.BY_BILLING:
        return {}
    return {"failure_code": "BILLING_BLOCKED", "failure_evidence": plan.why.get(instance.id, "")}


def _uncreated(instance: Instance, attempt: Attempt, plan: Plan, world: World) -> Iterator[Action]:
    """An intent that the backend has not carried out: carry it out now, or drop it."""
    weights = world.weights.get(instance.variant_id)
    if plan.roles[instance.id] is not Role.KEEP:
        at_rest = (State.STOPPED, plan.rest)
        unpaid = _unpaid(instance, plan)
        yield Change(instance.id, "stopped before it began", at_rest, unpaid, attempt={"ended_at": world.now})
    elif weights is None or weights.present:
        yield Create(instance.id, attempt.id)
    elif weights.code is not None:
        yield _ended(instance, attempt, Ended(world.now, weights.code, weights.evidence), plan, world)
    else:
        if instance.phase is Phase.ALLOCATING:
            yield Change(instance.id, "the weights are not here yet", (State.PENDING, Phase.COPYING_FILES))
        if not weights.copying:
            yield Fetch(instance.id, instance.variant_id)


def _revive(deployment: Deployment, instance: Instance, plan: Plan, world: World) -> Iterator[Action]:
    """An instance that should run and has no attempt under way: begin one, if it may."""
    asked, cause = True, "wished to run"
    if instance.state is State.FAILED:
        asked = deployment.wish_at > (instance.failed_at or 0)
        due = instance.retry_at is not None and world.now >= instance.retry_at
        cause = "asked to start" if asked else f"retry after {instance.failure_code}" if due else ""
    if not cause or plan.room <= 0:
        return
    attempt = instance.attempt
    if attempt is not None and attempt.released_at is None:
        yield Release(instance.id, attempt.id)
    else:
        yield Begin(instance.id, cause, forgive=asked)


def _leave(instance: Instance, plan: Plan) -> Iterator[Action]:
    """An instance that should not run and does not: stopped, and then gone if it is to go."""
    unpaid = plan.rest is Phase.BY_BILLING
    if instance.state is not State.STOPPED or (unpaid and instance.phase is not Phase.BY_BILLING):
        cause = plan.why[instance.id] if unpaid else "wished to stop"
        yield Change(instance.id, cause, (State.STOPPED, plan.rest), {"retry_at": None} | _unpaid(instance, plan))
    elif plan.roles[instance.id] is Role.REMOVE:
        attempt = instance.attempt
        if attempt is not None and attempt.released_at is None:
            yield Release(instance.id, attempt.id)
        else:
            yield Remove(instance.id)
