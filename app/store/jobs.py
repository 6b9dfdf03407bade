"""Jobs: the only call from one process of ours to another. The caller writes a row, the server works it off.

Kinds: `shutdown` stops every instance (`{}`). `fetch` brings weights here: those of a variant (`{"variant_id"}`,
and with `"compare"` those that are here are compared with their checksums first), or of a model as JSON (`{"model",
"env_file"}`, where the latter names what its token is kept in). `verify` compares those that an instance could not load
(`{"variant_id", "instance_id"}`).
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session

from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.store.tables import Job
from app.store.wishes import now_us

Kind = Literal["shutdown", "fetch", "verify"]
FETCH_DEADLINE_US = 24 * 3_600_000_000
"""A job with weights is worth nothing after a day."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job as its caller sees it. `progress` and `result` are the kind's own; `error` has code, message and remedy."""

    id: str
    kind: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None


def submit(session: Session, kind: Kind, payload: dict[str, Any], deadline_us: int) -> str:
    """Ask for a job that is worth nothing after `deadline_us` microseconds from now; its id."""
    now = now_us()
    job = Job(
        id=ulid(),
        kind=kind,
        payload=json.dumps(payload),
        state="queued",
        created_at=now,
        deadline_at=now + deadline_us,
    )
    session.add(job)
    return job.id


def cancel(session: Session, job_id: str) -> None:
    """Ask for a job to be given up. Raises NOT_FOUND."""
    job = session.get(Job, job_id)
    if job is None:
        raise _unknown(job_id)
    job.cancel = 1
    session.add(job)


def get(connection: sqlite3.Connection, job_id: str) -> JobFacts:
    """A job as it stands. Raises NOT_FOUND."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise _unknown(job_id)
    return facts(row)


def facts(row: sqlite3.Row) -> JobFacts:
    """A row of `jobs` as facts."""
    result, error = (None if row[name] is None else json.loads(row[name]) for name in ("result", "error"))
    return JobFacts(row["id"], row["kind"], row["state"], json.loads(row["progress"]), result, error)


def _unknown(job_id: str) -> StokerError:
    return StokerError("NOT_FOUND", f"There is no job `{job_id}`.")
