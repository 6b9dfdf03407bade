"""`ps`, `show`, `events`, `variants`: shapes that scripts depend on, and what people see."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from app.boot import boot_id, boot_us
from app.domain.lifecycle import Phase, State
from app.processes import announce, take_lock
from app.settings import Home
from app.store import tables, wishes
from app.store.write import Store, acquire_lease
from tests.cli.conftest import Stoker
from tests.cli.rows import SPEC, failed, instance, launch, now_us

PS_KEYS = {
    "name", "status", "detail", "replicas", "model", "engine", "backend", "url", "failure", "observed_at", "stale_s",
    "reachable",
}  # fmt: skip
FAILURE_KEYS = {"code", "meaning", "remedy", "evidence", "at", "retry_at"}


@pytest.fixture
def gateway(home: Home, store: Store) -> Iterator[str]:
    """The lock of a running gateway; its URL."""
    lock = take_lock(home.gateway_lock)
    assert lock is not None
    announce(lock, {"pid": os.getpid(), "url": "http://127.0.0.1:9"})
    yield "http://127.0.0.1:9/v1"
    os.close(lock)


def test_an_empty_home_is_an_empty_list_and_stays_empty(stoker: Stoker, home: Home) -> None:
    assert stoker.json("ps") == []
    assert "stoker launch smollm2" in stoker("ps").out
    assert not home.state.exists()


def test_ps_tells_a_serving_deployment(stoker: Stoker, store: Store, server: Any, gateway: str) -> None:
    instance(store, launch(store, replicas=2))
    (row,) = stoker.json("ps")
    assert set(row) == PS_KEYS
    assert (row["name"], row["status"], row["detail"]) == ("demo", "DEPLOYED", "1/2 degraded")
    assert row["replicas"] == {"ready": 1, "want": 2}
    assert (row["model"], row["engine"], row["backend"]) == ("SmolLM2-135M-Instruct", "llama.cpp", "process")
    assert (row["url"], row["failure"]) == (gateway, None)
    assert (row["stale_s"], row["reachable"]) == (0, True)
    assert abs(row["observed_at"] - now_us()) < 60_000_000
    text = stoker("ps").out
    assert "● DEPLOYED degraded" in text
    assert "1/2" in text
    assert gateway in text


def test_ps_tells_why_a_deployment_failed(stoker: Stoker, store: Store, server: Any) -> None:
    instance(store, launch(store), **failed("BAD_FLAG", "error: invalid argument: --nonsense"))
    (row,) = stoker.json("ps")
    assert set(row["failure"]) == FAILURE_KEYS
    assert row["status"] == "FAILED"
    assert row["failure"]["code"] == row["detail"] == "BAD_FLAG"
    assert row["failure"]["evidence"] == "error: invalid argument: --nonsense"
    assert row["failure"]["retry_at"] is None
    assert "stoker change demo" in row["failure"]["remedy"]
    assert "✖ FAILED BAD_FLAG" in stoker("ps").out


def test_ps_tells_when_it_is_tried_again(stoker: Stoker, store: Store, server: Any) -> None:
    retry_at = now_us() + 3_600_000_000
    instance(store, launch(store), **failed("KILLED_EXTERNALLY", "SIGKILL", retry_at))
    (row,) = stoker.json("ps")
    assert (row["status"], row["failure"]["retry_at"]) == ("ERROR", retry_at)
    assert "◔ ERROR KILLED_EXTERNALLY retry in 59m" in stoker("ps").out


def test_ps_says_that_a_server_is_down_and_how_old_the_facts_are(stoker: Stoker, home: Home, store: Store) -> None:
    instance(store, launch(store))
    acquire_lease(store, "1", boot_id(), boot_us() - 720_000_000)
    (row,) = stoker.json("ps")
    assert 720 <= row["stale_s"] < 780
    assert "server down, all this is as of 12m ago" in stoker("ps").out


def test_ps_says_that_a_server_does_not_answer(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    instance(store, launch(store))
    acquire_lease(store, "1", boot_id(), boot_us() - 12_000_000)
    assert 12 <= stoker.json("ps")[0]["stale_s"] < 60
    assert "? server not answering since 1" in stoker("ps").out


def test_a_beat_of_another_boot_says_nothing_about_time(stoker: Stoker, store: Store) -> None:
    instance(store, launch(store))
    acquire_lease(store, "1", "another boot", boot_us())
    (row,) = stoker.json("ps")
    assert (row["observed_at"], row["stale_s"]) == (None, None)


def test_an_unreachable_instance_is_marked(stoker: Stoker, store: Store, server: Any) -> None:
    since = now_us() - 90_000_000
    instance(store, launch(store), unreachable_since=since, observed_at=since)
    (row,) = stoker.json("ps")
    assert (row["status"], row["reachable"], row["observed_at"]) == ("UNREACHABLE", False, since)
    assert row["stale_s"] >= 90


def test_show_holds_variants_and_instances(stoker: Stoker, store: Store, server: Any) -> None:
    deployment = launch(store)
    with store.write() as session:
        wishes.change(session, "demo", _with(context=8192), 1, "tester")
    instance(store, deployment, attempts=3, pid=4121, endpoint="http://127.0.0.1:1")
    broken = instance(store, deployment, "b", **failed("HOST_OOM", "cannot allocate"))
    shown = stoker.json("show", "demo")
    assert set(shown) == PS_KEYS | {"variants", "instances", "fixes"}
    assert shown["fixes"][0]["k"] == 1
    assert [(v["number"], v["current"], v["changed"]) for v in shown["variants"]] == [
        (1, False, {}),
        (2, True, {"context": [4096, 8192]}),
    ]
    first, second = shown["instances"]
    assert {"id", "state", "phase", "pid", "endpoint", "attempt", "since", "failure_reason", "holds"} <= set(first)
    assert (first["state"], first["phase"], first["pid"], first["attempt"]) == ("running", "serving", 4121, 3)
    assert (first["failure_reason"], first["holds"]) == (None, ["memory"])
    assert (second["id"], second["holds"]) == (broken.id, [])
    assert set(second["failure_reason"]) == FAILURE_KEYS
    text = stoker("show", "demo").out
    for word in ("demo-a", "demo-b", "context 4096 → 8192", "HOST_OOM", "cannot allocate", "▸2", "launched"):
        assert word in text


def test_events_are_a_timeline(stoker: Stoker, store: Store, server: Any) -> None:
    launch(store)
    with store.write() as session:
        wishes.stop(session, "demo", "tester", immediately=True)
    found = stoker.json("events", "demo")
    assert all(set(event) == {"at", "subject", "from", "to", "cause", "actor", "detail"} for event in found)
    assert [(e["from"], e["to"], e["cause"], e["actor"]) for e in found] == [
        (None, "REQUESTED", "launched", "tester"),
        ("REQUESTED", "REQUESTED", "stop --now", "tester"),
    ]
    assert found[0]["at"] <= found[1]["at"]
    assert "stop --now (by tester)" in stoker("events", "demo").out


def test_variants_mark_the_current_one(stoker: Stoker, store: Store, server: Any) -> None:
    launch(store)
    with store.write() as session:
        wishes.change(session, "demo", _with(flags={"threads": "2", "mlock": True}), 1, "tester")
        wishes.rollback(session, "demo", 1, "tester")
    found = stoker.json("variants", "demo")
    assert [(v["number"], v["current"]) for v in found] == [(1, True), (2, False)]
    assert found[1]["changed"] == {"flags": [{}, {"mlock": True, "threads": "2"}]}
    text = stoker("variants", "demo").out
    assert "▸1" in text
    assert "threads=2" in text


def test_a_deployment_that_is_not_there_is_not_found(stoker: Stoker, store: Store) -> None:
    launch(store)
    for verb in ("show", "events", "variants"):
        result = stoker(verb, "demmo", "--json")
        assert (result.status, result.error["code"], result.out) == (1, "NOT_FOUND", "")
        assert result.error["remedy"] == "Did you mean `demo`?"


def test_text_from_outside_cannot_act_on_the_terminal(stoker: Stoker, store: Store, server: Any) -> None:
    evil = "\x1b]52;c;AAAA\x07\x1b[2J[/] \u202egnp.exe\x9b31m"
    model = SPEC.model.__class__(evil, "file", "/x")
    instance(store, launch(store, model=model), **failed("RUNTIME_ERROR", evil))
    for verb in ("ps", "show", "events", "variants"):
        words = [verb] if verb == "ps" else [verb, "demo"]
        text = stoker(*words).out
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
        assert stoker(*words, "--json").out.isascii()


def test_a_newer_store_and_a_damaged_one_are_refused(stoker: Stoker, home: Home, store: Store) -> None:
    with sqlite3.connect(home.store) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert stoker("ps", "--json").error["code"] == "STORE_NEWER"
    home.store.write_bytes(b"not a database" * 100)
    home.store.with_name("stoker.db-wal").unlink(missing_ok=True)
    assert stoker("ps", "--json").error["code"] == "STORE_CORRUPT"


def test_a_stopped_deployment_says_so(stoker: Stoker, store: Store, server: Any) -> None:
    deployment = launch(store)
    instance(store, deployment, state=State.STOPPED, phase=Phase.BY_USER)
    with store.write() as session:
        wishes.stop(session, "demo", "tester")
    assert stoker.json("ps")[0]["status"] == "STOPPED"
    assert "○ STOPPED" in stoker("ps").out


def _with(**changes: Any) -> Any:
    return replace(SPEC, **changes)


def test_the_flight_record_of_an_attempt(stoker: Stoker, store: Store) -> None:
    deployment = launch(store)
    row = instance(store, deployment, **failed("HOST_OOM", "cannot allocate"))
    at = now_us()
    with store.write() as session:
        for n, (state, cause) in enumerate((("pending/loading", "reading"), ("failed/failed", "HOST_OOM"))):
            session.add(
                tables.Event(
                    at=at + n,
                    deployment_id=deployment.id,
                    subject=row.name,
                    to_state=state,
                    cause=cause,
                    actor="server",
                )
            )
    documents = stoker.json("events", "demo", "--attempt", "1")
    assert [set(d) for d in documents] == [
        {"instance", "attempt", "at", "after_us", "kind", "text", "line", "detail"}
    ] * len(documents)
    assert {(d["kind"], d["text"]) for d in documents} >= {("phase", "loading"), ("failure", "HOST_OOM")}
    assert all(d["at"] <= after["at"] for d, after in pairwise(documents))
    text = stoker("events", "demo", "--attempt", "1").out
    assert "demo-a  attempt 1" in text
    assert "✖  HOST_OOM" in text
    assert stoker("events", "demo", "--attempt", "9", "--json").error["code"] == "NOT_FOUND"
