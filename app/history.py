"""A deployment's past as a screen needs it: its events, read as they come, and its last hour of traffic."""

import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from app.render.events import document
from app.store import read
from app.store.traffic import Minute, by_minute

EVENTS = 2_000
"""How many events are kept, the newest ones."""
MINUTES = 60
TRAFFIC_S = 5.0
"""Shortest time between two looks at the last hour of requests."""
_SHARE = 20
"""A look that takes long is repeated so seldom that it takes a twentieth of the time at most."""


class History:
    """The past of one deployment. Each call of `read` costs what is new since the one before it."""

    def __init__(self, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._last: int | None = None
        self._minutes: Sequence[Minute] = ()
        self._due = 0.0

    def read(self, connection: sqlite3.Connection, now: int) -> tuple[list[dict[str, Any]], Sequence[Minute]]:
        """The events as documents and the last hour minute by minute, both oldest first. `now` in UTC microseconds."""
        if self._last is None:
            self._last = read.events_before(connection, self.deployment_id, EVENTS)
        for row in read.events(connection, self.deployment_id, self._last):
            self._events.append(document(dict(row)))
            self._last = row["id"]
        began = time.monotonic()
        if began >= self._due:
            self._minutes = by_minute(connection, self.deployment_id, now, MINUTES)
            took = time.monotonic() - began
            self._due = began + max(TRAFFIC_S, _SHARE * took)
        return list(self._events), self._minutes
