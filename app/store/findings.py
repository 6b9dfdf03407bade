"""What was recognised in the output of attempts. Written by the server, each finding once; read by everybody."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.findings import Finding

if TYPE_CHECKING:
    from sqlmodel import Session


@dataclass(frozen=True, slots=True)
class Found:
    """A finding in the output of an attempt. `at` is when the line came, UTC microseconds."""

    attempt_id: str
    at: int
    finding: Finding


def record(session: "Session", found: Iterable[Found]) -> None:
    """Note findings; what was noted before, by this server or an earlier one, stays as it is."""
    from sqlalchemy.dialects.sqlite import insert

    from app.store.tables import FindingRow

    for each in found:
        finding = each.finding
        session.exec(
            insert(FindingRow)
            .values(
                attempt_id=each.attempt_id,
                at=each.at,
                rule=finding.rule,
                code=finding.code,
                kind=finding.kind,
                line=finding.line,
                position=finding.offset,
                evidence=finding.evidence,
                captured=json.dumps(finding.captured),
            )
            .on_conflict_do_nothing()
        )


def of_attempt(connection: sqlite3.Connection, attempt_id: str) -> list[Found]:
    """Everything recognised in an attempt, in the order of its output; how it ended comes last."""
    rows = connection.execute(
        "SELECT * FROM findings WHERE attempt_id = ? ORDER BY position IS NULL, position, id", (attempt_id,)
    )
    return [_found(row) for row in rows]


def latest_milestones(connection: sqlite3.Connection) -> dict[str, Finding]:
    """How far the current attempt of each instance has come, by attempt id."""
    rows = connection.execute(
        "SELECT f.* FROM instances i JOIN findings f ON f.id = (SELECT max(id) FROM findings"
        " WHERE attempt_id = i.attempt_id AND kind = 'milestone') WHERE i.gone_at IS NULL"
    )
    return {row["attempt_id"]: _found(row).finding for row in rows}


def _found(row: sqlite3.Row) -> Found:
    names = ("rule", "code", "kind", "line", "evidence")
    values = {name: row[name] for name in names}
    finding = Finding(**values, captured=json.loads(row["captured"]), offset=row["position"])
    return Found(row["attempt_id"], row["at"], finding)
