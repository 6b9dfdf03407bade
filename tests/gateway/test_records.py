"""What remains of a request: one row, whatever is killed, locked or full in the meantime."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from app.domain.ids import ulid
from app.gateway.request import COLUMNS
from tests.gateway.conftest import Edge
from tests.gateway.process import wait_for


@contextmanager
def locked(edge: Edge) -> Iterator[None]:
    """The store, locked by somebody else."""
    with closing(sqlite3.connect(edge.store.home.store, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def spooled(edge: Edge) -> list[Path]:
    return sorted(edge.store.home.spool.glob("*.jsonl"))


def read_one_event(edge: Edge, started: threading.Event) -> None:
    """Take a stream that never ends until it breaks."""
    body = {"model": "demo", "user": "drip", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    with (
        pytest.raises(httpx2.RemoteProtocolError),
        httpx2.stream("POST", f"{edge.gateway.url}/v1/chat/completions", json=body, headers=edge.headers()) as response,
    ):
        for _ in response.iter_bytes():
            started.set()


def test_a_killed_gateway_leaves_one_row_for_every_request(own_edge: Edge) -> None:
    answered = [own_edge.post().headers["x-request-id"] for _ in range(5)]
    started = [threading.Event() for _ in range(3)]
    with ThreadPoolExecutor(3) as executor:
        futures = [executor.submit(read_one_event, own_edge, event) for event in started]
        wait_for(lambda: all(event.is_set() for event in started))
        own_edge.gateway.kill()
        for future in futures:
            future.result()
    own_edge.gateway.start()
    rows = wait_for(lambda: found if len(found := own_edge.store.requests()) == 8 else None)
    finished = {row["request_id"]: row for row in rows if row["status"] == 200}
    assert sorted(finished) == sorted(answered)
    lost = [row for row in rows if row["status"] != 200]
    assert {(row["status"], row["code"], row["estimated"]) for row in lost} == {(502, "UPSTREAM_FAILED", 1)}
    assert all(row["instance_id"] == own_edge.instance and row["tokens_in"] > 0 for row in lost)
    wait_for(lambda: len(spooled(own_edge)) == 1)


def test_a_locked_store_stalls_nobody_and_loses_nothing(own_edge: Edge) -> None:
    with locked(own_edge):
        ids = [own_edge.post().headers["x-request-id"] for _ in range(20)]
        refused = own_edge.post(model="nope").headers["x-request-id"]
        assert spooled(own_edge)[0].read_bytes().count(b'["e",') >= 19
    wait_for(lambda: len(own_edge.store.requests()) == 20)
    assert [row["request_id"] for row in own_edge.store.requests()] == ids
    wait_for(lambda: own_edge.store.refused()[-1]["request_id"] == refused)


def test_a_gateway_killed_before_the_store_was_free_loses_nothing(own_edge: Edge) -> None:
    with locked(own_edge):
        ids = [own_edge.post().headers["x-request-id"] for _ in range(10)]
        wait_for(lambda: spooled(own_edge)[0].read_bytes().count(b'["e",') == 10)
        own_edge.gateway.kill()
    own_edge.gateway.start()
    wait_for(lambda: [row["request_id"] for row in own_edge.store.requests()] == ids)
    assert {row["estimated"] for row in own_edge.store.requests()} == {0}


ROW = dict.fromkeys(COLUMNS) | {
    "request_id": "a",
    "attempt_id": "attempt",
    "path": "/v1/completions",
    "stream": 0,
    "status": 200,
    "started_at": 5,
    "duration_us": 7,
    "tokens_in": 1,
    "tokens_out": 2,
    "estimated": 0,
    "steps": '[{"x":1}]',
}


def line(kind: str, **values: object) -> str:
    """A line of a spool."""
    return json.dumps([kind, *(ROW | values).values()], separators=(",", ":"))


def test_leftovers_are_taken_as_they_are_and_only_once(own_edge: Edge) -> None:
    own_edge.gateway.kill()
    known, lost = ulid(), ulid()
    torn = line("e", id=ulid())[:60]
    bad = line("e", id=ulid(), started_at=-5)
    files = {
        "00000000000000000001": [line("s", id=known, estimated=1)],
        "00000000000000000002": [line("s", id=known), line("s", id=lost), line("e", id=known), torn, bad],
    }
    for name, lines in files.items():
        (own_edge.store.home.spool / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    own_edge.gateway.start()
    rows = wait_for(lambda: found if len(found := own_edge.store.requests()) == 2 else None)
    assert {row["id"] for row in rows} == {known, lost}
    assert {(row["steps"], row["estimated"]) for row in rows} == {('[{"x":1}]', 0)}
    wait_for(lambda: len(spooled(own_edge)) == 1)
    assert own_edge.gateway.log().count("cannot be kept") == 2


def test_a_gateway_told_to_stop_leaves_no_spool(own_edge: Edge) -> None:
    ids = [own_edge.post().headers["x-request-id"] for _ in range(5)]
    assert own_edge.gateway.stop() == 0
    assert [row["request_id"] for row in own_edge.store.requests()] == ids
    assert spooled(own_edge) == []


def test_refused_requests_are_kept_but_not_for_ever(own_edge: Edge) -> None:
    with own_edge.store.writing() as connection:
        connection.executemany(
            "INSERT INTO requests (id, request_id, path, stream, status, started_at) VALUES (?, 'old', '/', 0, 400, 1)",
            [(ulid(),) for _ in range(10_050)],
        )
    own_edge.post(model="nope")
    newest = own_edge.post(model="nope").headers["x-request-id"]
    wait_for(lambda: own_edge.store.refused()[-1]["request_id"] == newest)
    assert len(own_edge.store.refused()) == 10_000


def test_a_refused_request_can_be_explained(own_edge: Edge) -> None:
    response = own_edge.post(n=0)
    row = own_edge.row(response)
    assert (row["status"], row["code"], row["key_id"], row["attempt_id"]) == (
        400,
        "INVALID_REQUEST",
        own_edge.key[4:12],
        None,
    )
    steps = json.loads(row["steps"])
    assert [step["name"] for step in steps] == ["received", "key", "refused"]
    assert steps[-1]["detail"] == response.json()["error"]["message"]


def test_a_path_from_outside_is_stored_clean(own_edge: Edge) -> None:
    row = own_edge.row(own_edge.get("/%1b%5b31mred%00%ff" + "x" * 3_000))
    assert row["path"].isprintable() and len(row["path"]) <= 200
