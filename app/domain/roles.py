"""Which instances a deployment keeps, which it stops, and how many it lacks: scaling, rollout and restart.

A rollout brings up one replica more than wished and retires an old one for each new one that serves. Where two cannot
run at once it stops an old one first, and says why. An old replica that serves is never given up for one that failed.
"""

from dataclasses import dataclass, field
from enum import Enum

from app.domain.facts import Deployment, Instance, World
from app.domain.lifecycle import Phase, State


class Role(Enum):
    """What is wanted of one instance."""

    KEEP = "run"
    STOP = "stop, and keep the row"
    REMOVE = "stop, and go"


@dataclass(frozen=True, slots=True)
class Plan:
    """A role for every instance with the reason where it is not KEEP.

    `missing` is how many instances are to be added, `room` how many may begin to come up now. `rest` is the phase of
    what is stopped.
    """

    roles: dict[str, Role]
    why: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    room: int = 0
    rest: Phase = Phase.BY_USER


def assign(deployment: Deployment, world: World) -> Plan:
    """The roles of all instances of `deployment`."""
    everyone = deployment.instances
    if deployment.wish == "gone":
        return _all(everyone, Role.REMOVE, "removed by the user")
    if deployment.wish == "stopped":
        return _all(everyone, Role.STOP, "stopped by the user")
    if world.shutting_down:
        return _all(everyone, Role.STOP, "everything is taken down", Phase.BY_SHUTDOWN)
    if deployment.id in world.blocked:
        return _all(everyone, Role.STOP, world.blocked[deployment.id], Phase.BY_BILLING)
    if _went_down(deployment, world):
        return Plan({i.id: Role.STOP if _waits(i) else Role.KEEP for i in everyone}, rest=Phase.BY_SHUTDOWN)
    current = sorted((i for i in everyone if i.variant_id == deployment.variant_id), key=_preference)
    old = [i for i in everyone if i.variant_id != deployment.variant_id]
    kept, surplus = current[: deployment.replicas], current[deployment.replicas :]
    # What rests takes no memory, but is owed its place before anything is added.
    resting = [i for i in kept if not _occupies(i)]
    no_room = world.no_room.get(deployment.id, "")
    room = deployment.replicas + (0 if no_room else 1) - sum(map(_occupies, everyone))
    missing = max(0, min(deployment.replicas - len(kept), room - len(resting)))
    plan = Plan({i.id: Role.KEEP for i in kept}, {}, missing, room)
    _mark(plan, surplus, "more replicas than wished")
    _retire(plan, deployment, kept, old)
    if no_room and room <= 0:
        _make_room(plan, deployment, kept, old, no_room)
    _restart(plan, deployment, kept)
    return plan


def _went_down(deployment: Deployment, world: World) -> bool:
    """Whether the machine went down since somebody last asked for this deployment: then nothing of it starts anew."""
    down = any(at is not None and at >= deployment.wish_at for at in (_down_at(i, world) for i in deployment.instances))
    return down and not world.resume_after_reboot


def _down_at(instance: Instance, world: World) -> int | None:
    """When the instance went down, whether that is recorded yet or not."""
    attempt = instance.attempt
    if attempt is None or attempt.ended_at is not None:
        return instance.down_at
    seen = world.seen.get(attempt.id)
    return seen.ended.at if seen is not None and seen.ended is not None and seen.ended.rebooted else None


def _all(instances: tuple[Instance, ...], role: Role, why: str, rest: Phase = Phase.BY_USER) -> Plan:
    return Plan({i.id: role for i in instances}, {i.id: why for i in instances}, rest=rest)


def _retire(plan: Plan, deployment: Deployment, kept: list[Instance], old: list[Instance]) -> None:
    """Of the instances of earlier variants keep as many that serve as the current one still lacks."""
    serving = [i for i in old if _serves(i)]
    needed = max(0, deployment.replicas - sum(map(_serves, kept)))
    _mark(plan, [i for i in old if not _serves(i)], "replaced by a later variant")
    _mark(plan, serving[needed:], "replaced by a later variant")
    plan.roles.update({i.id: Role.KEEP for i in serving[:needed]})


def _make_room(plan: Plan, deployment: Deployment, kept: list[Instance], old: list[Instance], no_room: str) -> None:
    """Stop one old replica, whose memory a new one waits for, unless something comes or goes already."""
    serving = [i for i in old if plan.roles[i.id] is Role.KEEP]
    failed = any(i.state is State.FAILED for i in kept)
    under_way = any(
        _occupies(i) and (not _serves(i) or plan.roles[i.id] is not Role.KEEP) for i in deployment.instances
    )
    if not failed and not under_way:
        _mark(plan, serving[:1], f"replaced by a later variant, stopped first: {no_room}")


def _restart(plan: Plan, deployment: Deployment, kept: list[Instance]) -> None:
    """Stop what was started before the last restart was asked for: at once if it does not serve, else one by one."""
    stale = [i for i in kept if _stale(i, deployment.restart_at)]
    all_serve = len(kept) == deployment.replicas and all(map(_serves, kept))
    for instance in stale:
        if not _serves(instance) or (all_serve and instance is stale[0]):
            plan.roles[instance.id] = Role.STOP
            plan.why[instance.id] = "restarted by the user"


def _stale(instance: Instance, restart_at: int | None) -> bool:
    attempt = instance.attempt
    return (
        restart_at is not None and attempt is not None and attempt.ended_at is None and attempt.created_at < restart_at
    )


def _mark(plan: Plan, instances: list[Instance], why: str) -> None:
    for instance in instances:
        plan.roles[instance.id] = Role.REMOVE
        plan.why[instance.id] = why


def _serves(instance: Instance) -> bool:
    return instance.state is State.RUNNING and instance.phase is Phase.SERVING


def _occupies(instance: Instance) -> bool:
    """Whether the instance holds memory, or is about to."""
    return instance.state in (State.PENDING, State.RUNNING)


def _waits(instance: Instance) -> bool:
    """Whether the instance waits for its next attempt, or for a backend to carry one out."""
    attempt = instance.attempt
    intended = attempt is not None and attempt.started_at is None and attempt.ended_at is None
    return intended or instance.retry_at is not None


def _preference(instance: Instance) -> tuple[int, str]:
    """Sort key: what serves first, then what comes up, then what failed or stopped, what is leaving last; then age."""
    if instance.phase in (Phase.DRAINING, Phase.STOPPING):
        return 4, instance.id
    order = (State.RUNNING, State.PENDING, State.NON_BOOTSTRAP, State.STOPPED, State.FAILED)
    return order.index(instance.state), instance.id
