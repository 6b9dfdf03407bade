"""The meter: time, use and tokens become charges, each once, in the transaction that moves the cursor behind them.

Time runs from when an attempt was first ready to the end that its backend reports, and in between only as far as it
was seen alive: so a charge never has to be taken back. Whatever was missed, by a server that was down or a host that
could not be reached, is one longer interval of the next tick.
"""

from collections.abc import Iterable, Mapping

from sqlmodel import Session, col, select

from app.domain import bill
from app.domain.bill import Instant
from app.domain.budget import may_release
from app.domain.facts import Deployment
from app.domain.usage import Bill
from app.store import tables
from app.store.ledger import Book, Draft, charge_moves, held, release
from app.store.purse import placed_at, price_of
from app.store.tables import Account, Attempt, Instance, Meter, TokenMeter
from app.store.usage import unbilled, use_key

ACTOR = "server"
TICK_S = 60.0


def tick(session: Session, now: Instant, alive: Mapping[str, int]) -> None:
    """Bill everything that is open. `alive` is the boot time at which each attempt was last seen alive; one that is not
    in it waits."""
    book = Book(session, now.at)
    rows = session.exec(
        select(Meter, Attempt).join(Attempt, col(Attempt.id) == Meter.attempt_id).where(Meter.closed == 0)
    ).all()
    for meter, attempt in rows:
        if attempt.ended_at is not None:
            _bill(book, meter, now, (attempt.ended_at, attempt.ended_boot_us))
        elif meter.attempt_id in alive:
            _bill(book, meter, _at(now, alive[meter.attempt_id]))
    _bill_use(book)


def follow(session: Session, deployments: Iterable[str], now: Instant) -> None:
    """Begin to bill what has just become ready, and bill what has just ended, in the transaction that records it."""
    ids = list(deployments)
    book = Book(session, now.at)
    for attempt, instance in _unmetered(session, ids):
        price = price_of(session, instance.variant_id).placed(placed_at(attempt))
        since = _started(attempt, now) if price.from_start else attempt.ready_at
        if price.by_idle_hour and since is not None:
            boot_us = max(0, now.boot_us - max(0, now.at - since))
            meter = Meter(
                attempt_id=attempt.id,
                deployment_id=instance.deployment_id,
                price=price.by_idle_hour,
                boot_id=now.boot_id,
                cursor_us=boot_us,
                cursor_at=since,
            )
            session.add(meter)
    session.flush()
    ended = session.exec(
        select(Meter, Attempt)
        .join(Attempt, col(Attempt.id) == Meter.attempt_id)
        .where(col(Meter.deployment_id).in_(ids), Meter.closed == 0, col(Attempt.ended_at).is_not(None))
    ).all()
    for meter, attempt in ended:
        _bill(book, meter, now, (attempt.ended_at or now.at, attempt.ended_boot_us))


def give_back(session: Session, deployments: Iterable[Deployment], now: int) -> None:
    """Release what is held where nothing runs, or will by itself. `deployments` are those that are not gone."""
    book = Book(session, now)
    facts = {deployment.id: deployment for deployment in deployments}
    accounts = session.exec(select(Account.id).where(col(Account.id).startswith(held("")), Account.balance > 0))
    for account in accounts.all():
        row = session.get_one(tables.Deployment, account.removeprefix(held("")))
        known = facts.get(row.id)
        # Whoever asked for it since it was looked at has just had it held.
        idle = known is not None and known.wish_at == row.wish_at and may_release(known)
        if row.gone_at is not None or idle:
            release(book, row.id, ACTOR)


def _unmetered(session: Session, deployment_ids: list[str]) -> list[tuple[Attempt, Instance]]:
    """Open attempts that have no meter."""
    rows = session.exec(
        select(Attempt, Instance)
        .join(Instance, col(Instance.attempt_id) == Attempt.id)
        .outerjoin(Meter, col(Meter.attempt_id) == Attempt.id)
        .where(
            col(Instance.deployment_id).in_(deployment_ids),
            col(Attempt.ended_at).is_(None),
            col(Meter.attempt_id).is_(None),
        )
    ).all()
    return [(attempt, instance) for attempt, instance in rows]


def _started(attempt: Attempt, now: Instant) -> int | None:
    """When an attempt started; by its host's clock, which is another than ours, and so within what can be."""
    if attempt.started_at is None:
        return None
    return min(now.at, max(attempt.created_at, attempt.started_at))


def _bill(book: Book, meter: Meter, now: Instant, ended: tuple[int, int | None] | None = None) -> None:
    """Charge what `meter` has run up, and move its cursor. With `ended` for the last time."""
    facts = bill.Meter(
        meter.attempt_id,
        meter.deployment_id,
        meter.price,
        meter.boot_id,
        meter.cursor_us,
        meter.cursor_at,
        meter.carried,
    )
    span = bill.advance(facts, now, ended)
    if span.amount:
        draft = Draft(
            "charge",
            f"time:{meter.attempt_id}:{span.starts}",
            charge_moves(book, meter.deployment_id, span.amount),
            ACTOR,
            meter.deployment_id,
            meter.attempt_id,
            quantity=span.us,
            unit="us",
            price=meter.price,
            starts=span.starts,
            ends=span.ends,
        )
        book.post(draft)
    same_boot = meter.boot_id == now.boot_id
    meter.cursor_us = meter.cursor_us + span.us if same_boot else now.boot_us
    meter.boot_id, meter.cursor_at, meter.carried = now.boot_id, span.ends, span.carried
    meter.closed = int(ended is not None)
    book.session.add(meter)


def _bill_use(book: Book) -> None:
    """Charge the requests that have come into the store since the last time: time by replica, tokens by deployment."""
    session = book.session
    session.flush()
    for due in unbilled(session.connection().exec_driver_sql):
        for part in due.bills:
            if part.amount:
                book.post(_draft(book, due.deployment_id, part))
        meter = session.get(TokenMeter, due.deployment_id) or TokenMeter(deployment_id=due.deployment_id, request_id="")
        meter.request_id, meter.carried, meter.longest_us = due.last, due.carried, due.longest_us
        session.add(meter)


def _draft(book: Book, deployment_id: str, part: Bill) -> Draft:
    requests = part.requests
    return Draft(
        "charge",
        use_key(deployment_id, requests[0].id, requests[-1].id),
        charge_moves(book, deployment_id, part.amount),
        ACTOR,
        deployment_id,
        part.attempt_id,
        quantity=part.quantity,
        unit=part.unit,
        price=part.price,
        starts=min(request.started_at for request in requests),
        ends=max(request.span[1] for request in requests),
        estimated=any(request.estimated for request in requests),
        note=f"{len(requests):,} request{'s' if len(requests) > 1 else ''}",
    )


def _at(now: Instant, boot_us: int) -> Instant:
    """The moment of this boot at which boot time was `boot_us`."""
    return Instant(now.boot_id, boot_us, now.at - (now.boot_us - boot_us))
