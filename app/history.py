"""A deployment's past as a screen needs it: its events, read as they come, and its last hour of traffic."""

import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from app.render.events import document
from app.store import read
from app.store.traffic import MINUTE_US, Minute, minute

EVENTS = 2_000
"""How many events are kept, the newest ones."""
MINUTES = 60
BUDGET_S = 0.04
"""How long one reading looks at traffic: a busy hour is read over several, while everything else is shown."""
_TELLING_US = 10_000_000
"""A minute under way says something from here on."""
_OFTEN_US, _SELDOM_US = 5_000_000, 30_000_000
"""How often the minute under way is looked at, and those before it for as long as a request of theirs may still end."""
_LATE_US = 11 * MINUTE_US
"""A request is recorded when it ends, and ends this long after it began at the latest."""


class History:
    """The past of one deployment. Each call of `read` costs what is new since the one before it."""

    def __init__(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._last: int | None = None
        self._hour = LastHour(deployment_id)

    def read(self, connection: sqlite3.Connection, now: int) -> tuple[list[dict[str, Any]], Sequence[Minute | None]]:
        """The events as documents and the last hour minute by minute, both oldest first. `now` in UTC microseconds."""
        if self._last is None:
            self._last = read.events_before(connection, self.deployment_id, EVENTS)
        for row in read.events(connection, self.deployment_id, self._last):
            self._events.append(document(dict(row)))
            self._last = row["id"]
        return list(self._events), self._hour.read(connection, now)


class LastHour:
    """The traffic of one deployment in minutes that are counted from the first reading, both ways."""

    def __init__(self, deployment_id: str) -> None:
        self._deployment_id = deployment_id
        self._origin: int | None = None
        self._known: dict[int, tuple[Minute, int]] = {}

    def read(self, connection: sqlite3.Connection, now: int) -> list[Minute | None]:
        """The last hour before `now`, oldest first, the newest minutes read first; None where not read yet."""
        self._origin = origin = now if self._origin is None else self._origin
        current, elapsed = divmod(now - origin, MINUTE_US)
        last = current if elapsed >= _TELLING_US else current - 1
        shown = range(last - MINUTES + 1, last + 1)
        self._known = {number: known for number, known in self._known.items() if number in shown}
        due = [number for number in reversed(shown) if self._is_due(number, now)]
        until = time.monotonic() + BUDGET_S
        for number in sorted(due, key=self._known.__contains__):
            after = origin + number * MINUTE_US
            found = minute(connection, self._deployment_id, after, min(now, after + MINUTE_US))
            self._known[number] = found, now
            if time.monotonic() >= until:
                break
        return [self._known[number][0] if number in self._known else None for number in shown]

    def _is_due(self, number: int, now: int) -> bool:
        if number not in self._known or self._origin is None:
            return True
        looked, end = self._known[number][1], self._origin + (number + 1) * MINUTE_US
        return looked < end + _LATE_US and now - looked >= (_OFTEN_US if looked < end else _SELDOM_US)
