"""The most memory that starts were seen to take. Written by the server; read by whatever estimates."""

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.failures import StokerError
from app.domain.vram.peak import Peak
from app.domain.vram.printed import Taken
from app.store.read import reading

if TYPE_CHECKING:
    from sqlmodel import Session

_NEWEST = 200
"""Peaks of a kind that are looked at, the newest ones: enough for any estimate, and quick however old the store is."""


def record(session: "Session", peak: Peak) -> None:
    """Note what an attempt took."""
    from app.store.tables import PeakRow

    taken = [{name: size for name, size in asdict(each).items() if size is not None} for each in peak.taken]
    session.add(
        PeakRow(
            attempt_id=peak.start,
            at=peak.at,
            engine=peak.engine,
            version=peak.version,
            architecture=peak.architecture,
            quantisation=peak.quantisation,
            place=peak.place,
            weights=peak.weights,
            settings=json.dumps(peak.settings),
            taken=json.dumps(taken),
            busy=int(peak.busy),
        )
    )


def of_kind(path: Path, engine: str, architecture: str, quantisation: str) -> tuple[Peak, ...]:
    """What was measured at `path`, the store, of an engine with models of one kind; the newest first.

    None where there is no store yet, or one of an older schema. Raises STORE_BUSY and its like.
    """
    try:
        with reading(path) as connection:
            rows = connection.execute(
                "SELECT * FROM peaks WHERE (engine, architecture, quantisation) = (?, ?, ?) ORDER BY id DESC LIMIT ?",
                (engine, architecture, quantisation, _NEWEST),
            ).fetchall()
    except StokerError as error:
        if error.code not in ("NOT_FOUND", "SERVER_OLDER", "STORE_NEWER"):
            raise
        return ()
    return tuple(_peak(row) for row in rows)


def of_attempt(connection: sqlite3.Connection, attempt_id: str) -> list[Peak]:
    """What one attempt was seen to take, oldest first."""
    rows = connection.execute("SELECT * FROM peaks WHERE attempt_id = ? ORDER BY id", (attempt_id,))
    return [_peak(row) for row in rows]


def _peak(row: sqlite3.Row) -> Peak:
    names = ("engine", "version", "architecture", "quantisation", "place", "weights", "at")
    return Peak(
        **{name: row[name] for name in names},
        start=row["attempt_id"],
        settings=json.loads(row["settings"]),
        taken=tuple(Taken(**each) for each in json.loads(row["taken"])),
        busy=bool(row["busy"]),
    )
