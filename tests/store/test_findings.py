"""Findings: each is kept once, however often it is found, and read in the order of the output."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.findings import Finding
from app.store import findings
from app.store.findings import Found
from app.store.read import reading
from app.store.write import Store
from tests.store.schema import fill

HALF = Finding("weights", "weights", "milestone", 3, "loading", {"fraction": 0.5}, 40)
READY = Finding("ready", "ready", "milestone", 9, "ready", {}, 400)
FULL = Finding("disk-full", "DISK_FULL", "failure", 7, "No space left on device", {"path": "/tmp/x"}, 300)
KILLED = Finding("exit", "KILLED_EXTERNALLY", "failure", None, "ended by SIGKILL")


@pytest.fixture
def attempt(path: Path) -> str:
    """An attempt that is the current one of its instance, without findings."""
    fill(path, 2)
    with closing(sqlite3.connect(path)) as connection:
        (attempt_id,) = connection.execute(
            "SELECT attempt_id FROM instances WHERE attempt_id IS NOT NULL AND gone_at IS NULL"
        ).fetchone()
    return str(attempt_id)


def note(store: Store, attempt: str, *found: Finding) -> None:
    with store.write() as session:
        findings.record(session, [Found(attempt, 1_000, each) for each in found])


def test_what_is_found_again_is_kept_once(path: Path, store: Store, attempt: str) -> None:
    note(store, attempt, KILLED, FULL, HALF)
    note(store, attempt, HALF, replace(FULL, rule="other"), KILLED)
    with reading(path) as connection:
        told = [found.finding for found in findings.of_attempt(connection, attempt)]
    assert told == [HALF, FULL, replace(FULL, rule="other"), KILLED]


def test_the_newest_milestone_says_how_far_it_is(path: Path, store: Store, attempt: str) -> None:
    with reading(path) as connection:
        assert findings.latest_milestones(connection) == {}
    note(store, attempt, HALF, READY, FULL)
    with reading(path) as connection:
        assert findings.latest_milestones(connection) == {attempt: READY}


def test_history_is_not_rewritten(store: Store, path: Path, attempt: str) -> None:
    note(store, attempt, FULL)
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("UPDATE findings SET code = 'x'", "DELETE FROM findings"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
