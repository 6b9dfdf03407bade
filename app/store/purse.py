"""The hour that every start of something with a price must cover: checked and set aside in one transaction."""

import json
import time

from sqlmodel import Session, col, func, select

from app.domain.budget import shortfall
from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.domain.money import Price
from app.store.ledger import Book, hold
from app.store.tables import Attempt, Deployment, Instance, Variant


def hold_hour(session: Session, deployment: Deployment, code: str, actor: str, least: int = 0) -> None:
    """Hold an hour of every replica of `deployment` that does not run yet, of `least` in any case.

    Raises `code`, with what is missing.

    What costs only its tokens needs a balance above nothing.
    """
    session.flush()  # the variant may be as new as the wish
    price = price_of(session, deployment.variant_id)
    if price.free:
        return
    wanted = price.by_hour * max(least, deployment.replicas - _under_way(session, deployment.id, ready=True))
    missing = _hold(session, deployment.id, max(wanted, int(not price.by_hour)), f"{deployment.id}:{ulid()}", actor)
    if missing:
        text = shortfall(wanted, missing)
        raise StokerError(code, f"{text[0].upper()}{text[1:]}.", detail={"missing_micro": missing})


def hold_attempt(session: Session, instance: Instance, actor: str, hour: int | None = None) -> bool:
    """Hold an hour for one more attempt of `instance`; whether there was the money for it.

    `hour` is what one costs where it was placed, None where its variant says where it runs.
    """
    price = price_of(session, instance.variant_id).placed(hour)
    if not price.by_hour:
        return True
    starting = _under_way(session, instance.deployment_id, ready=False) + 1
    key = f"{instance.id}:{ulid()}"
    return not _hold(session, instance.deployment_id, price.by_hour * starting, key, actor)


def price_of(session: Session, variant_id: str) -> Price:
    """What a variant costs."""
    spec = session.exec(select(Variant.spec).where(Variant.id == variant_id)).one()
    return Price(**json.loads(spec).get("price", {}))


def placed_at(attempt: Attempt) -> int | None:
    """What an hour costs where an attempt was placed, in micro-units; None where its variant says where it runs."""
    return None if attempt.placement is None else int(json.loads(attempt.placement)["price"])


def _hold(session: Session, deployment_id: str, amount: int, key: str, actor: str) -> int:
    return hold(Book(session, time.time_ns() // 1_000), deployment_id, amount, key, actor)


def _under_way(session: Session, deployment_id: str, *, ready: bool) -> int:
    """How many attempts of a deployment are open, and have or have not been ready."""
    was_ready = col(Attempt.ready_at).is_not(None) if ready else col(Attempt.ready_at).is_(None)
    return session.exec(
        select(func.count())
        .select_from(Attempt)
        .join(Instance, col(Instance.id) == Attempt.instance_id)
        .where(Instance.deployment_id == deployment_id, col(Attempt.ended_at).is_(None), was_ready)
    ).one()
