"""What the plan allows at the edge: whose traffic, how much at once, and how much of the playground a day."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from app.domain.ids import first_ulid
from app.domain.money import DAY_US
from app.domain.plans import Plan
from app.gateway.errors import EdgeError
from app.gateway.snapshot import Key
from app.settings import Home
from app.store.sqlite import connect_reader

OWN = "stoker "
"""How the keys are named that the playground and `stoker ask` make for themselves."""


class Quota:
    """Counts requests against the plan called `name`. Used by the event loop only.

    `used` is how many requests of the playground there were today before.
    """

    def __init__(self, name: str, plan: Plan, used: int = 0) -> None:
        self._name, self._plan = name, plan
        self._day, self._used = _today(), used
        self._in_flight = 0

    @contextmanager
    def admit(self, key: Key) -> Iterator[None]:
        """Let a request of `key` pass, and count it for as long as it is under way. Raises PLAN_LIMIT."""
        plan, own = self._plan, key.name.startswith(OWN)
        if not own and not plan.traffic:
            raise EdgeError("PLAN_LIMIT", f"The plan `{self._name}` serves the playground only.", status=403)
        if plan.at_once and self._in_flight >= plan.at_once:
            text = f"The plan `{self._name}` allows {plan.at_once} requests at once."
            detail: dict[str, object] = {"limit": plan.at_once, "used": self._in_flight, "resets_at": None}
            raise EdgeError("PLAN_LIMIT", text, detail=detail, retry_after=1)
        if own and plan.playground:
            self._count_playground(plan.playground)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _count_playground(self, limit: int) -> None:
        if self._day != _today():
            self._day, self._used = _today(), 0
        if self._used >= limit:
            text = f"The plan `{self._name}` allows {limit} requests of the playground a day."
            end = (self._day + 1) * DAY_US // 1_000_000
            resets_at = datetime.fromtimestamp(end, UTC).isoformat().replace("+00:00", "Z")
            detail = {"limit": limit, "used": self._used, "resets_at": resets_at}
            raise EdgeError("PLAN_LIMIT", text, detail=detail, retry_after=max(1, end - int(time.time())))
        self._used += 1


def playground_today(home: Home) -> int:
    """How many requests of the playground reached an engine today, by UTC; 0 while there is no store to ask."""
    try:
        with closing(connect_reader(home.store)) as connection:
            found: int = connection.execute(
                "SELECT count(*) FROM requests r JOIN keys k ON k.id = r.key_id"
                " WHERE r.id >= ? AND r.attempt_id IS NOT NULL AND k.name LIKE ? || '%'",
                (first_ulid(_today() * DAY_US), OWN),
            ).fetchone()[0]
    except sqlite3.Error:
        return 0
    return found


def _today() -> int:
    return time.time_ns() // 1_000 // DAY_US
