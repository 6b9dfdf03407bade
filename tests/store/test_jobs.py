"""A call from one process to another, as its caller sees it."""

from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.store import jobs
from app.store.read import reading
from app.store.tables import Job
from app.store.write import Store


def look(path: Path, job_id: str) -> jobs.JobFacts:
    with reading(path) as connection:
        return jobs.get(connection, job_id)


def test_a_job_from_asking_to_answer(path: Path, store: Store) -> None:
    with store.write() as session:
        job_id = jobs.submit(session, "fetch", {"variant_id": "v"}, 1_000_000)
    assert look(path, job_id) == jobs.JobFacts(job_id, "fetch", "queued", {}, None, None)
    with store.write() as session:
        row = session.get_one(Job, job_id)
        assert (row.payload, row.deadline_at - row.created_at, row.cancel) == ('{"variant_id": "v"}', 1_000_000, 0)
        row.state, row.progress = "failed", '{"done": 3}'
        row.error = '{"code": "OFFLINE", "message": "No.", "remedy": "Connect."}'
        session.add(row)
    found = look(path, job_id)
    assert (found.state, found.progress, found.result) == ("failed", {"done": 3}, None)
    assert found.error == {"code": "OFFLINE", "message": "No.", "remedy": "Connect."}


def test_a_job_can_be_given_up(store: Store) -> None:
    with store.write() as session:
        job_id = jobs.submit(session, "shutdown", {}, 1_000_000)
    with store.write() as session:
        jobs.cancel(session, job_id)
    with store.write() as session:
        assert session.get_one(Job, job_id).cancel == 1


def test_a_job_that_is_none(path: Path, store: Store) -> None:
    with pytest.raises(StokerError, match="NOT_FOUND"):
        look(path, "nothing")
    with pytest.raises(StokerError, match="NOT_FOUND"), store.write() as session:
        jobs.cancel(session, "nothing")
