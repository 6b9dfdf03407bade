"""What requests have used and is still to be billed, in the order in which they came into the store."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.domain.ids import first_ulid
from app.domain.money import HOUR_US, Price
from app.domain.usage import Bill, Span, Usage, bills

AT_ONCE = 10_000
"""Requests of a deployment that are billed at a time; the rest follow with the next tick."""
REQUESTS = 1_000
"""As many requests of an entry are shown; it may be for ten thousand."""
LATELY_US = HOUR_US // 4
_SLACK_US = 1_000
"""An id knows the millisecond only in which its request began."""

Ask = Callable[[str, tuple[Any, ...]], Iterable[Sequence[Any]]]
"""What answers a query: `execute` of a plain connection, or `exec_driver_sql` of one within a transaction."""


@dataclass(frozen=True, slots=True)
class Unbilled:
    """What a flex deployment has run up. Billed, `carried`, `last` and `longest_us` are where its meter then stands."""

    deployment_id: str
    bills: Sequence[Bill]
    carried: int
    last: str
    longest_us: int

    @property
    def amount(self) -> int:
        """What it comes to, in micro-units."""
        return sum(bill.amount for bill in self.bills)


def unbilled(ask: Ask) -> list[Unbilled]:
    """What flex deployments have run up since their meters moved last; those that have nothing new are left out.

    The order is that of arrival in the store (`rowid`), not of the ids: a request that began early may come in late.
    A request that reached an engine is never deleted, so its place stays; a place is found again by its id, which a
    copied store keeps.
    """
    meters = {row[0]: row for row in ask("SELECT deployment_id, request_id, carried, longest_us FROM token_meters", ())}
    newest = next(iter(ask(_NEWEST, ())), ("",))[0]
    found = []
    for (deployment_id,) in list(ask(_DEPLOYMENTS, ())):
        _, last, carried, longest = meters.get(deployment_id, (deployment_id, "", 0, 0))
        if last != newest:
            found.append(_since(ask, deployment_id, last, carried, longest, newest))
    return found


def use_key(deployment_id: str, first: str, last: str) -> str:
    """The key of the entry that charges a deployment for its requests from `first` to `last`, by id."""
    return f"use:{deployment_id}:{first}:{last}"


def paid(connection: sqlite3.Connection, entry: Mapping[str, Any], limit: int) -> list[sqlite3.Row]:
    """The requests that an entry charges for, in the order of their arrival, `limit` at most; none where none do."""
    kind, deployment_id, first, last = [*entry["key"].split(":"), "", "", ""][:4]
    if kind != "use":
        return []
    values = deployment_id, entry["attempt_id"], entry["attempt_id"], first, last, limit
    return connection.execute(_PAID, values).fetchall()


def used_lately(connection: sqlite3.Connection, now: int) -> int:
    """What an hour of use costs, at the rate of the last quarter of an hour."""
    row = connection.execute(_LATELY, (first_ulid(now - LATELY_US),)).fetchone()
    return int(row["amount"]) * (HOUR_US // LATELY_US)


def _since(ask: Ask, deployment_id: str, last: str, carried: int, longest: int, newest: str) -> Unbilled:
    rows = [Usage(*row) for row in ask(_AFTER, (deployment_id, last, AT_ONCE))]

    @cache
    def price_of(attempt_id: str) -> Price:
        ((spec, placement),) = ask(_PRICED, (attempt_id,))
        hour = None if placement is None else json.loads(placement)["price"]
        return Price(**json.loads(spec)["price"]).placed(hour)

    def before(attempt_id: str, since: int) -> Iterable[Span]:
        oldest = first_ulid(max(0, since - longest - _SLACK_US))
        return [(row[0], row[1]) for row in ask(_BEFORE, (attempt_id, oldest, last, since))]

    made, left = bills(rows, price_of, before, carried)
    end = rows[-1].id if len(rows) == AT_ONCE else newest
    return Unbilled(deployment_id, made, left, end, max([longest, *(row.duration_us for row in rows)]))


# Not one that was refused: those are deleted in time.
_NEWEST = "SELECT id FROM requests WHERE attempt_id IS NOT NULL ORDER BY rowid DESC LIMIT 1"
_DEPLOYMENTS = """
    SELECT DISTINCT deployment_id FROM variants WHERE json_extract(spec, '$.price.basis') IN ('use', 'token')
"""
# The sign keeps SQLite from the index by deployment: by row number there is only what is new to look at.
_AFTER = """
    SELECT r.id, r.attempt_id, r.started_at, coalesce(r.duration_us, 0), r.tokens_in, r.tokens_out,
           r.estimated
    FROM requests r JOIN instances i ON i.id = r.instance_id JOIN variants v ON v.id = i.variant_id
    WHERE +r.deployment_id = ? AND r.attempt_id IS NOT NULL
      AND r.rowid > coalesce((SELECT rowid FROM requests WHERE id = ?), 0)
      AND json_extract(v.spec, '$.price.basis') IN ('use', 'token')
    ORDER BY r.rowid LIMIT ?
"""
_PRICED = """
    SELECT v.spec, a.placement FROM attempts a
    JOIN instances i ON i.id = a.instance_id JOIN variants v ON v.id = i.variant_id WHERE a.id = ?
"""
_BEFORE = """
    SELECT started_at, started_at + duration_us FROM requests
    WHERE attempt_id = ? AND id >= ? AND rowid <= coalesce((SELECT rowid FROM requests WHERE id = ?), 0)
      AND started_at + duration_us > ? AND tokens_in + tokens_out > 0
"""
_PAID = """
    SELECT r.*, i.name AS instance FROM requests r
    JOIN instances i ON i.id = r.instance_id JOIN variants v ON v.id = i.variant_id
    WHERE +r.deployment_id = ? AND r.attempt_id = coalesce(?, r.attempt_id)
      AND json_extract(v.spec, '$.price.basis') = CASE WHEN ? IS NULL THEN 'token' ELSE 'use' END
      AND r.rowid BETWEEN (SELECT rowid FROM requests WHERE id = ?) AND (SELECT rowid FROM requests WHERE id = ?)
    ORDER BY r.rowid LIMIT ?
"""
_LATELY = """
    SELECT coalesce(-sum(e.amount), 0) AS amount FROM token_meters m JOIN entries e
    ON e.key >= 'use:' || m.deployment_id || ':' || ? AND e.key < 'use:' || m.deployment_id || ';'
"""
