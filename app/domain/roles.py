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
    """A role for every instance with the reason where it is not KEEP, and how many instances are to be added."""

    roles: dict[str, Role]
    why: dict[str, str] = field(default_factory=dict)
    missing: int = 0


def assign(deployment: Deployment, world: World) -> Plan:
    """The roles of all instances of `deployment`."""
    everyone = deployment.instances
    if deployment.wish == "gone":
        return _all(everyone, Role.REMOVE, "removed by the user")
    if deployment.wish == "stopped":
        return _all(everyone, Role.STOP, "stopped by the user")
    if world.shutting_down:
        return _all(everyone, Role.STOP, "everything is taken down")
    no_room = world.no_room.get(deployment.id, "")
    current = sorted((i for i in everyone if i.variant_id == deployment.variant_id), key=_preference)
    old = [i for i in everyone if i.variant_id != deployment.variant_id]
    kept, surplus = current[: deployment.replicas], current[deployment.replicas :]
    plan = Plan({i.id: Role.KEEP for i in kept})
    _mark(plan, surplus, "more replicas than wished")
    missing = _roll(plan, deployment, kept, old, no_room)
    _restart(plan, deployment, kept)
    return Plan(plan.roles, plan.why, missing)


def _all(instances: tuple[Instance, ...], role: Role, why: str) -> Plan:
    return Plan({i.id: role for i in instances}, {i.id: why for i in instances})


def _roll(plan: Plan, deployment: Deployment, kept: list[Instance], old: list[Instance], no_room: str) -> int:
    """Roles for the instances of earlier variants; how many instances of the current one to add now."""
    lacking = deployment.replicas - len(kept)
    serving = [i for i in old if _serves(i)]
    _mark(plan, [i for i in old if not _serves(i)], "replaced by a later variant")
    needed = max(0, deployment.replicas - sum(map(_serves, kept)))
    plan.roles.update({i.id: Role.KEEP for i in serving})
    _mark(plan, serving[needed:], "replaced by a later variant")
    if not serving:
        return lacking
    up = sum(_occupies(i) for i in (*kept, *old))
    if no_room:
        coming = any(_occupies(i) and not _serves(i) for i in (*kept, *old))
        if lacking and not coming and up >= deployment.replicas:
            _mark(plan, serving[:1], f"replaced by a later variant, stopped first: {no_room}")
        return max(0, min(lacking, deployment.replicas - up))
    return max(0, min(lacking, deployment.replicas + 1 - up))


def _restart(plan: Plan, deployment: Deployment, kept: list[Instance]) -> None:
    """Stop what was started before the last restart was asked for: at once if it does not serve, else one by one."""
    stale = [i for i in kept if _stale(i, deployment.restart_at)]
    others_serve = all(_serves(i) for i in kept)
    for instance in stale:
        if not _serves(instance) or (others_serve and instance is stale[0]):
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
    return instance.state in (State.NON_BOOTSTRAP, State.PENDING, State.RUNNING)


def _preference(instance: Instance) -> tuple[int, str]:
    """Sort key: what serves first, then what comes up, then what failed or stopped, what is leaving last; then age."""
    if instance.phase in (Phase.DRAINING, Phase.STOPPING):
        return 4, instance.id
    order = (State.RUNNING, State.PENDING, State.NON_BOOTSTRAP, State.STOPPED, State.FAILED)
    return order.index(instance.state), instance.id
