"""Reading the ledger: plain sqlite3, windows and sums that take the same time whatever its length."""

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from app.domain.bill import Instant, Meter, Standing, accrued
from app.domain.money import DAY_US, HOUR_US
from app.store.usage import unbilled, used_lately

Row = sqlite3.Row
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries are wanted: of a deployment (its name), of a kind, from `since` and before `until` (UTC us)."""

    deployment: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Filter()


def standing(connection: sqlite3.Connection, now: Instant) -> Standing:
    """The account as it stands at `now`."""
    rows = connection.execute(
        "SELECT sum(CASE WHEN id = 'available' THEN balance END) AS available,"
        " sum(CASE WHEN id LIKE 'held:%' THEN balance END) AS held, count(*) AS count FROM accounts"
    ).fetchone()
    meters = open_meters(connection)
    day = now.at // DAY_US
    run_up = accrued(meters, now) + sum(used.amount for used in unbilled(connection.execute))
    return Standing(
        available=rows["available"] or 0,
        held=rows["held"] or 0,
        accrued=run_up,
        burn=sum(meter.price for meter in meters) + used_lately(connection, now.at),
        today=spent_since(connection, day) + run_up,
        month=spent_since(connection, first_of_month(now.at)) + run_up,
        in_use=bool(rows["count"] or meters),
    )


def open_meters(connection: sqlite3.Connection) -> list[Meter]:
    """The meters that run."""
    rows = connection.execute("SELECT * FROM meters WHERE closed = 0 ORDER BY attempt_id")
    return [Meter(**{f.name: row[f.name] for f in fields(Meter)}) for row in rows]


def held_and_spent(connection: sqlite3.Connection) -> tuple[dict[str, int], dict[str, int]]:
    """What is held for, and what was spent on, each deployment by id."""
    held: dict[str, int] = {}
    spent: dict[str, int] = {}
    for row in connection.execute("SELECT id, balance FROM accounts WHERE id LIKE 'held:%' OR id LIKE 'spent:%'"):
        kind, _, deployment_id = row["id"].partition(":")
        (held if kind == "held" else spent)[deployment_id] = row["balance"]
    return held, spent


def spent_since(connection: sqlite3.Connection, day: int) -> int:
    """What was spent since the UTC day `day` (days since 1970) began."""
    found: int = connection.execute("SELECT coalesce(sum(amount), 0) FROM spending WHERE day >= ?", (day,)).fetchone()[
        0
    ]
    return found


def spending(connection: sqlite3.Connection, first_day: int) -> list[Row]:
    """What was spent from the UTC day `first_day` on: `day`, `deployment` (a name), `amount`, the largest first."""
    return connection.execute(
        "SELECT s.day, d.name AS deployment, sum(s.amount) AS amount FROM spending s"
        " JOIN deployments d ON d.id = s.deployment_id WHERE s.day >= ? GROUP BY s.day, d.name"
        " ORDER BY s.day, amount DESC, d.name",
        (first_day,),
    ).fetchall()


def first_of_month(at: int) -> int:
    """The UTC day (days since 1970) on which the month of `at` began."""
    when = datetime.fromtimestamp(at // 1_000_000, UTC)
    return at // DAY_US - (when.day - 1)


def count(connection: sqlite3.Connection) -> int:
    """How many entries there are; their numbers are 1 to this."""
    found: int = connection.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0]
    return found


def matching(connection: sqlite3.Connection, wanted: Filter, limit: int = -1) -> "array[int]":
    """The numbers of the entries that `wanted` asks for, the newest first, `limit` at most if it is not negative."""
    clauses: list[str] = ["1"]
    values: list[str | int] = []
    if wanted.deployment is not None:
        clauses.append("deployment_id IN (SELECT id FROM deployments WHERE name = ?)")
        values.append(wanted.deployment)
    for clause, value in (("kind = ?", wanted.kind), ("at >= ?", wanted.since), ("at < ?", wanted.until)):
        if value is not None:
            clauses.append(clause)
            values.append(value)
    sql = f"SELECT id FROM entries WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?"  # noqa: S608 # constants
    return array("q", (row[0] for row in connection.execute(sql, (*values, limit))))


def entries(connection: sqlite3.Connection, numbers: Sequence[int]) -> Iterator[Row]:
    """The entries of these numbers, in their order, each with the names of the `deployment` and `instance` that it is
    about, and the number of the `attempt`."""
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            f"SELECT e.*, d.name AS deployment, i.name AS instance, a.number AS attempt FROM entries e"  # noqa: S608 # only question marks
            f" LEFT JOIN deployments d ON d.id = e.deployment_id LEFT JOIN attempts a ON a.id = e.attempt_id"
            f" LEFT JOIN instances i ON i.id = a.instance_id WHERE e.id IN ({marks})",
            list(some),
        )
        found = {row["id"]: row for row in rows}
        yield from (found[number] for number in some if number in found)


def available(connection: sqlite3.Connection) -> int:
    """What may be spent and is not held."""
    row = connection.execute("SELECT balance FROM accounts WHERE id = 'available'").fetchone()
    return 0 if row is None else int(row["balance"])


def last_request(connection: sqlite3.Connection, deployment_id: str) -> int:
    """When a deployment last had a request, in UTC microseconds; 0 for never."""
    row = connection.execute(
        "SELECT max(started_at) AS at FROM requests WHERE deployment_id = ?", (deployment_id,)
    ).fetchone()
    return int(row["at"] or 0)


IDLE_US = HOUR_US
"""What has had no request for this long and costs money is waste."""


def idle(connection: sqlite3.Connection, now: int) -> list[Row]:
    """What runs at a price and has had no request for an hour: `deployment` (a name), `price` an hour, `since` when."""
    return connection.execute(
        "SELECT d.name AS deployment, sum(m.price) AS price, max(min(i.ready_at), coalesce((SELECT max(r.started_at)"
        " FROM requests r WHERE r.deployment_id = d.id), 0)) AS since FROM meters m"
        " JOIN deployments d ON d.id = m.deployment_id JOIN attempts i ON i.id = m.attempt_id"
        " WHERE m.closed = 0 AND d.wish = 'running' AND i.ready_at IS NOT NULL"
        " GROUP BY d.id HAVING since <= ? ORDER BY price DESC, d.name",
        (now - IDLE_US,),
    ).fetchall()


LINGERS_US = 60_000_000
"""A stop takes 40 s at the most where the backend does what it is asked."""


def lingering(connection: sqlite3.Connection, now: int) -> list[Row]:
    """What was asked to stop a minute ago or more and costs money still, since its backend does not confirm the end:
    `deployment`, `backend`, `price` an hour, and since when (`since`)."""
    return connection.execute(
        "SELECT d.name AS deployment, i.backend, sum(m.price) AS price, min(coalesce(a.stop_at, d.wish_at)) AS since"
        " FROM meters m JOIN deployments d ON d.id = m.deployment_id JOIN attempts a ON a.id = m.attempt_id"
        " JOIN instances i ON i.id = a.instance_id"
        " WHERE m.closed = 0 AND (d.wish <> 'running' OR a.stop_at IS NOT NULL)"
        " GROUP BY d.id, i.backend HAVING since <= ? ORDER BY price DESC, d.name",
        (now - LINGERS_US,),
    ).fetchall()
