"""Where attempts go that may run anywhere: the next offer for each, with what it needs set aside before it starts."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from app.domain.facts import Attempt, Deployment
from app.domain.failures import CATALOGUE, StokerError
from app.domain.hosts import LOCAL
from app.domain.offers import Offer, Wanted, explain, in_turn, match
from app.domain.placement import Placement
from app.domain.variant import VariantSpec
from app.launch.offers import offers
from app.settings import Settings
from app.store import read, tables
from app.store.reservations import reserve

REMEMBERED_US = 3_600_000_000
"""What failed on an offer goes against it for an hour: a shortage passes."""


@dataclass(frozen=True, slots=True)
class Market:
    """What there is to choose from, and what of it has failed whom.

    `failed` are the names of the offers that failed an instance lately and have not served it since, by its id, the
    latest last.
    `elsewhere` are instances for which there is an offer that was not tried since somebody last asked for them.
    """

    offers: tuple[Offer, ...] = ()
    failed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()

    def place(
        self, session: Session, deployment: tables.Deployment, instance: tables.Instance, wanted: Wanted
    ) -> Placement:
        """The next offer for `instance`, its GPUs reserved. Raises SMART_NO_MATCH."""
        refusal: StokerError | None = None
        offers = [offer.seen_by(deployment.name) for offer in self.offers]
        for offer in in_turn(match(offers, wanted), self.failed.get(instance.id, ())):
            slots = offer.choose(wanted.gpus)
            try:
                reserve(session, deployment, offer.host or LOCAL, slots, wanted.need, instance.id)
            except StokerError as error:
                refusal = error  # somebody was quicker
                continue
            return Placement.of(offer, slots)
        if refusal is not None:
            raise StokerError("SMART_NO_MATCH", refusal.message, refusal.remedy)
        found = explain(offers, wanted)
        raise StokerError("SMART_NO_MATCH", found.sentence(), found.change and f"{found.change}.")


def look(
    connection: sqlite3.Connection,
    settings: Settings,
    deployments: Iterable[Deployment],
    specs: Mapping[str, VariantSpec],
    now: int,
) -> Market:
    """The market at `now` for the instances of `deployments` that may run anywhere; an empty one if there are none."""
    smart = [(d, i, w) for d in deployments for i in d.instances if (w := specs[i.variant_id].smart) is not None]
    if not smart:
        return Market()
    found = tuple(offers(connection, settings))
    failed: dict[str, tuple[str, ...]] = {}
    elsewhere: set[str] = set()
    for deployment, instance, wanted in smart:
        placed = [(a.placement.name, a) for a in read.attempts(connection, instance.id) if a.placement is not None]
        failed[instance.id] = _failed(placed, now - REMEMBERED_US)
        tried = {name for name, attempt in placed if attempt.created_at >= deployment.wish_at}
        mine = [offer.seen_by(deployment.name) for offer in found]
        if any(offer.name not in tried for offer in match(mine, wanted)):
            elsewhere.add(instance.id)
    return Market(found, failed, frozenset(elsewhere))


def _failed(placed: list[tuple[str, Attempt]], since: int) -> tuple[str, ...]:
    """The offers to blame for a failure after `since`, unless they served later; `placed` is oldest first."""
    found: dict[str, None] = {}
    for name, attempt in placed:
        if attempt.ready_at is not None:
            found.pop(name, None)
        elif attempt.created_at >= since and attempt.failure_code and CATALOGUE[attempt.failure_code].elsewhere:
            found.pop(name, None)
            found[name] = None  # at the end
    return tuple(found)
