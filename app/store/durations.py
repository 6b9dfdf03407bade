"""How long each phase of a start usually takes on this machine, from the events of starts that went well."""

import sqlite3
from collections.abc import Mapping
from statistics import median

_SAMPLES = 2_000
"""Events that are looked at, the newest ones: enough for what is usual, and quick however old the store is."""


def usual(connection: sqlite3.Connection, deployment_id: str | None = None) -> Mapping[str, int]:
    """Microseconds that each phase took in the median, by phase; only of one deployment if it is given.

    A phase that ended in a failure or a stop does not count.
    """
    rows = connection.execute(
        "SELECT * FROM (SELECT id, at, deployment_id, subject, from_state, to_state FROM events"
        " WHERE (?1 IS NULL OR deployment_id = ?1) AND to_state LIKE '%/%' ORDER BY id DESC LIMIT ?2) ORDER BY id",
        (deployment_id, _SAMPLES),
    )
    began: dict[tuple[str, str], tuple[str, int]] = {}
    took: dict[str, list[int]] = {}
    for row in rows:
        subject = row["deployment_id"], row["subject"]
        state, _, phase = row["to_state"].partition("/")
        before = began.get(subject)
        if before is not None and state in ("pending", "running") and row["from_state"].startswith("pending/"):
            took.setdefault(before[0], []).append(row["at"] - before[1])
        began[subject] = phase, row["at"]
    return {phase: round(median(samples)) for phase, samples in took.items()}
