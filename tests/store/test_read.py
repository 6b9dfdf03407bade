"""Rows as facts: the rows are those of rows/0001.sql."""

import sqlite3

import pytest

from app.domain.facts import Attempt
from app.domain.failures import StokerError
from app.domain.ids import first_ulid
from app.domain.lifecycle import Phase, State
from app.store import read

DEMO = "01D0000000000000000000000A"


def test_a_deployment_with_its_instances(filled: sqlite3.Connection) -> None:
    (demo,) = read.deployments(filled)
    assert (demo.id, demo.name, demo.wish, demo.replicas, demo.status) == (DEMO, "demo", "running", 2, "DEPLOYED")
    a, b = demo.instances
    assert (a.name, a.state, a.phase, a.served, a.pid) == ("demo-a", State.RUNNING, Phase.SERVING, True, 4712)
    assert a.attempt == Attempt("01T0000000000000000000000B", 2, 160, started_at=170)
    assert (b.name, b.state, b.failure_code, b.retry_at) == ("demo-b", State.FAILED, "CONTAINER_EXITED", 220)
    assert b.attempt is not None
    assert (b.attempt.exit_code, b.attempt.ended_at, b.attempt.released_at) == (3, 210, None)


def test_what_is_gone_is_not_listed(filled: sqlite3.Connection) -> None:
    filled.execute("UPDATE instances SET gone_at = 300 WHERE name = 'demo-a'")
    (demo,) = read.deployments(filled)
    assert [i.name for i in demo.instances] == ["demo-b"]
    filled.execute("UPDATE deployments SET gone_at = 300")
    assert read.deployments(filled) == []


@pytest.mark.parametrize(("asked", "acknowledged", "drained"), [(None, 9, False), (3, 3, True), (4, 3, False)])
def test_drained_is_the_gateways_word_on_the_last_request(
    filled: sqlite3.Connection, asked: int | None, acknowledged: int, drained: bool
) -> None:
    filled.execute("UPDATE instances SET drain_generation = ? WHERE name = 'demo-b'", (asked,))
    filled.execute("UPDATE drains SET generation = ?", (acknowledged,))
    a, b = read.deployment(filled, "demo").instances
    assert (a.drained, b.drained) == (False, drained)


def test_a_name_that_is_none(filled: sqlite3.Connection) -> None:
    with pytest.raises(StokerError) as caught:
        read.deployment(filled, "demp")
    assert (caught.value.code, caught.value.remedy) == ("NOT_FOUND", "Did you mean `demo`?")
    with pytest.raises(StokerError) as caught:
        read.deployment(filled, "q")
    assert caught.value.remedy == "List them: `stoker ps`."


def test_attempts_and_events_come_oldest_first(filled: sqlite3.Connection) -> None:
    assert [a.number for a in read.attempts(filled, "01N0000000000000000000000A")] == [1, 2]
    first, second = read.events(filled, DEMO)
    assert (first["to_state"], second["to_state"]) == ("REQUESTED", "running/serving")
    assert [e["id"] for e in read.events(filled, DEMO, after=first["id"])] == [second["id"]]


def test_keys_requests_and_settings(filled: sqlite3.Connection) -> None:
    assert [row["id"] for row in read.keys(filled)] == ["aaaaaaaa", "bbbbbbbb"]
    for name in ("req-1", "01R0000000000000000000000A"):
        (row,) = read.requests_with(filled, name)
        assert (row["deployment"], row["instance"], row["tokens_out"]) == ("demo", "demo-a", 34)
    assert read.requests_with(filled, "req-2") == []
    assert read.setting(filled, "owner") == "01AAAAAAAAAAAAAAAAAAAAAAAA"
    assert read.setting(filled, "absent") is None


def test_variants_are_known_by_number(filled: sqlite3.Connection) -> None:
    ids = ["01V0000000000000000000000A", "01V0000000000000000000000B", "x"]
    assert read.variant_numbers(filled, ids) == {ids[0]: 1, ids[1]: 2}
    assert read.variant_numbers(filled, []) == {}


def test_requests_come_newest_first_with_names_and_refusals_are_counted(filled: sqlite3.Connection) -> None:
    at = 1_800_000_000_000_000
    filled.execute("UPDATE requests SET id = '00R0000000000000000000000A'")
    for n, (code, deployment) in enumerate(
        [("NO_CAPACITY", DEMO), ("AUTH_MISSING_TOKEN", None), ("NO_CAPACITY", DEMO)]
    ):
        filled.execute(
            "INSERT INTO requests (id, request_id, deployment_id, path, stream, status, code, started_at)"
            " VALUES (?, ?, ?, '/', 0, 503, ?, ?)",
            (f"{first_ulid(at + n * 1000)[:25]}{n}", f"late-{n}", deployment, code, at + n * 1000),
        )
    assert [row["request_id"] for row in read.latest_requests(filled, 3)] == ["late-2", "late-1", "late-0"]
    first = read.latest_requests(filled, 100)[-1]
    assert (first["deployment"], first["instance"], first["key"]) == ("demo", "demo-a", "new")
    found = [tuple(row) for row in read.refusals(filled, at)]
    assert found == [("NO_CAPACITY", "demo", 2, at + 2000), ("AUTH_MISSING_TOKEN", None, 1, at + 1000)]
    assert [row["count"] for row in read.refusals(filled, at + 2000)] == [1]
