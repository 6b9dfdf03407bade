"""Flight records read from the store: the attempts of a deployment's instances with all that is known of each."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.domain.facts import Attempt
from app.domain.flight import Mark, flight_record
from app.render.events import document
from app.store import findings, read

Events = Sequence[Mapping[str, Any]]


def record_of(connection: sqlite3.Connection, instance: str, attempt_id: str, events: Events) -> list[Mark]:
    """The record of an attempt of the instance of that name; `events` are documents of its deployment's timeline."""
    row = connection.execute("SELECT instance_id FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
    attempts = [] if row is None else read.attempts(connection, row["instance_id"])
    for attempt, after in zip(attempts, [*attempts[1:], None], strict=True):
        if attempt.id == attempt_id:
            found = [(each.at, each.finding) for each in findings.of_attempt(connection, attempt.id)]
            return flight_record(attempt, instance, events, found, None if after is None else after.created_at)
    return []


def records(
    connection: sqlite3.Connection, deployment_id: str, number: int
) -> Iterator[tuple[str, Attempt, list[Mark]]]:
    """The records of attempt `number` of each instance that had one, by the instance's name; of those gone too."""
    events = [document(dict(row)) for row in read.events(connection, deployment_id)]
    sql = "SELECT id, name FROM instances WHERE deployment_id = ? ORDER BY id"
    for row in connection.execute(sql, (deployment_id,)).fetchall():
        for attempt in read.attempts(connection, row["id"]):
            if attempt.number == number:
                yield row["name"], attempt, record_of(connection, row["name"], attempt.id, events)
