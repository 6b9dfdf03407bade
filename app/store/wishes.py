"""Wishes: the rows that a command or the console writes, and the server then makes true.

Each function is called inside a `Store.write()` block, so a wish is one transaction. `actor` names who wished.
"""

import json
import time

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.domain.status import Status
from app.domain.text import clean_text
from app.domain.variant import VariantSpec
from app.store.purse import hold_hour
from app.store.reservations import confirm
from app.store.tables import Deployment, Event, Variant


def now_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1_000


def launch(session: Session, name: str, spec: VariantSpec, replicas: int, actor: str) -> Deployment:
    """Wish for a new deployment. Raises NAME_TAKEN, and BILLING_BELOW_MINIMUM unless an hour of it can be held."""
    if session.exec(_live(name)).first() is not None:
        raise StokerError("NAME_TAKEN", f"There is a deployment `{name}` already.")
    now = now_us()
    deployment = Deployment(
        id=ulid(),
        name=name,
        wish="running",
        wish_at=now,
        replicas=replicas,
        variant_id="",
        status=Status.REQUESTED,
        created_at=now,
    )
    deployment.variant_id = _add_variant(session, deployment.id, 1, spec, now)
    session.add(deployment)
    session.flush()
    hold_hour(session, deployment, "BILLING_BELOW_MINIMUM", actor)
    _note(session, deployment, None, Status.REQUESTED, "launched", actor)
    return deployment


def start(session: Session, name: str, actor: str) -> Deployment:
    """Wish a deployment to run; what has failed is tried again.

    Raises BILLING_BLOCKED without money for an hour, and GPU_INCOMPATIBLE where others have its GPU now.
    """
    deployment = _lasting(session, name)
    deployment.wish, deployment.wish_at, deployment.stop_now = "running", now_us(), 0
    hold_hour(session, deployment, "BILLING_BLOCKED", actor)
    confirm(session, deployment)
    return _wished(session, deployment, "start", actor)


def stop(session: Session, name: str, actor: str, *, immediately: bool = False) -> Deployment:
    """Wish a deployment to stop: after requests in flight, or at once."""
    deployment = _lasting(session, name)
    deployment.wish, deployment.wish_at, deployment.stop_now = "stopped", now_us(), int(immediately)
    return _wished(session, deployment, "stop --now" if immediately else "stop", actor)


def restart(session: Session, name: str, actor: str) -> Deployment:
    """Wish every instance of a deployment to be started anew, one by one where several serve."""
    deployment = _lasting(session, name)
    deployment.wish, deployment.stop_now = "running", 0
    deployment.wish_at = deployment.restart_at = now_us()
    hold_hour(session, deployment, "BILLING_BLOCKED", actor)
    confirm(session, deployment)
    return _wished(session, deployment, "restart", actor)


def remove(session: Session, name: str, actor: str, *, forget: bool = False) -> Deployment:
    """Wish a deployment gone. `forget` drops what a backend that cannot be reached may still hold."""
    deployment = find(session, name)
    deployment.wish, deployment.wish_at, deployment.forget = "gone", now_us(), int(forget)
    return _wished(session, deployment, "rm --forget" if forget else "rm", actor)


def change(session: Session, name: str, spec: VariantSpec, replicas: int, actor: str) -> int:
    """Wish a deployment to run another configuration; the number of the variant, which is new if `spec` is."""
    deployment = _lasting(session, name)
    before, number = _switch(session, deployment, spec)
    detail = f"variant {before} → {number}" if number != before else f"replicas {deployment.replicas} → {replicas}"
    deployment.replicas = replicas
    if deployment.wish == "running":
        # A rollout brings up one replica more than there are.
        hold_hour(session, deployment, "BILLING_BLOCKED", actor, least=int(number != before))
    _wished(session, deployment, "change", actor, detail)
    return number


def mend(session: Session, name: str, spec: VariantSpec, what: str, actor: str) -> int:
    """Wish a deployment that failed to run again, with `spec`; the number of the variant. `what` says what mends it."""
    deployment = _lasting(session, name)
    before, number = _switch(session, deployment, spec)
    deployment.wish, deployment.wish_at, deployment.stop_now = "running", now_us(), 0
    hold_hour(session, deployment, "BILLING_BLOCKED", actor)
    detail = clean_text(what, 500) + (f" (variant {before} → {number})" if number != before else "")
    _wished(session, deployment, "fix", actor, detail)
    return number


def rollback(session: Session, name: str, number: int, actor: str) -> Deployment:
    """Wish a deployment to run variant `number` again. Raises NOT_FOUND."""
    deployment = _lasting(session, name)
    current = session.get_one(Variant, deployment.variant_id)
    found = session.exec(
        select(Variant).where(Variant.deployment_id == deployment.id, Variant.number == number)
    ).first()
    if found is None:
        raise StokerError("NOT_FOUND", f"`{name}` has no variant {number}.", f"List them: `stoker variants {name}`.")
    deployment.variant_id = found.id
    if deployment.wish == "running":
        hold_hour(session, deployment, "BILLING_BLOCKED", actor, least=int(found.id != current.id))
    return _wished(session, deployment, "rollback", actor, f"variant {current.number} → {number}")


def find(session: Session, name: str) -> Deployment:
    """The row of the deployment called `name`. Raises NOT_FOUND."""
    deployment = session.exec(_live(name)).first()
    if deployment is None:
        raise StokerError("NOT_FOUND", f"There is no deployment `{name}`.", "List them: `stoker ps`.")
    return deployment


def _lasting(session: Session, name: str) -> Deployment:
    """The deployment called `name`, if it may still be wished anything: once removed, it stays removed."""
    deployment = find(session, name)
    if deployment.wish == "gone":
        raise StokerError("NOT_FOUND", f"`{name}` is being removed.", "Launch it again once it is gone.")
    return deployment


def _live(name: str) -> SelectOfScalar[Deployment]:
    return select(Deployment).where(Deployment.name == name, col(Deployment.gone_at).is_(None))


def _switch(session: Session, deployment: Deployment, spec: VariantSpec) -> tuple[int, int]:
    """Make `spec` the current variant, a new one if it differs from the present one; the numbers before and after."""
    current = session.get_one(Variant, deployment.variant_id)
    if VariantSpec.from_json(json.loads(current.spec)) == spec:
        return current.number, current.number
    last = session.exec(select(func.max(Variant.number)).where(Variant.deployment_id == deployment.id)).one()
    number = (last or 0) + 1
    deployment.variant_id = _add_variant(session, deployment.id, number, spec, now_us())
    return current.number, number


def _add_variant(session: Session, deployment_id: str, number: int, spec: VariantSpec, now: int) -> str:
    text = json.dumps(spec.to_json(), sort_keys=True)  # ASCII: every character that a row may not hold is escaped
    variant = Variant(id=ulid(), deployment_id=deployment_id, number=number, spec=text, created_at=now)
    session.add(variant)
    return variant.id


def _wished(session: Session, deployment: Deployment, wish: str, actor: str, detail: str = "") -> Deployment:
    session.add(deployment)
    session.flush()
    _note(session, deployment, deployment.status, deployment.status, wish, actor, detail)
    return deployment


def _note(
    session: Session, deployment: Deployment, before: str | None, after: str, cause: str, actor: str, detail: str = ""
) -> None:
    event = Event(
        at=now_us(),
        deployment_id=deployment.id,
        subject=deployment.name,
        from_state=before,
        to_state=after,
        cause=cause,
        actor=actor,
        detail=detail,
    )
    session.add(event)
