"""Reading where the attempts of a deployment were placed, what came of each, and when the next one began."""

import json
import sqlite3

from app.domain.placement import Placement, Tried

_ATTEMPTS = """
    SELECT i.name, i.retry_at, a.number, a.created_at, a.ready_at, a.ended_at, a.failure_code, a.placement,
        lead(a.created_at) OVER (PARTITION BY i.id ORDER BY a.number) AS next_at,
        (SELECT e.at || ' ' || e.detail FROM events e WHERE e.deployment_id = i.deployment_id AND e.subject = i.name
            AND e.to_state = 'failed/failed' AND e.at >= a.created_at AND a.failure_code IS NOT NULL
            ORDER BY e.id LIMIT 1) AS failed
    FROM attempts a JOIN instances i ON i.id = a.instance_id WHERE i.deployment_id = ?
    ORDER BY a.created_at, a.id
"""


def placements(connection: sqlite3.Connection, deployment_id: str) -> list[Tried]:
    """Every attempt of a deployment that may run anywhere, oldest first; empty if none was ever placed."""
    rows = connection.execute(_ATTEMPTS, (deployment_id,)).fetchall()
    if all(row["placement"] is None for row in rows):
        return []
    return [_tried(row) for row in rows]


def _tried(row: sqlite3.Row) -> Tried:
    at, _, evidence = (row["failed"] or "").partition(" ")
    next_at = row["next_at"] or row["retry_at"]
    return Tried(
        instance=row["name"],
        number=row["number"],
        at=row["created_at"],
        placement=None if row["placement"] is None else Placement.from_json(json.loads(row["placement"])),
        ready_at=row["ready_at"],
        ended_at=row["ended_at"],
        code=row["failure_code"],
        evidence=evidence,
        delay_us=max(0, next_at - int(at)) if at and next_at else None,
    )
