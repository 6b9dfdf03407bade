"""`request` and `doctor`: one request explained, and the installation examined."""

import json
from typing import Any

from app.domain.ids import ulid
from app.settings import Home
from app.store import tables
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import instance, launch, now_us

REQUEST_KEYS = {
    "request_id", "status", "code", "deployment", "instance", "steps", "tokens_in", "tokens_out", "cost_micro",
}  # fmt: skip


def request(store: Store, request_id: str, **columns: Any) -> tables.Request:
    """A request as the gateway records it."""
    now = now_us()
    steps = [
        {"name": "received", "at": now, "detail": "POST /v1/chat/completions"},
        {"name": "end", "at": now + 250_000},
    ]
    values: dict[str, Any] = {
        "id": ulid(),
        "request_id": request_id,
        "path": "/v1/chat/completions",
        "stream": 1,
        "status": 200,
        "started_at": now,
        "ttft_us": 182_000,
        "duration_us": 250_000,
        "tokens_in": 31,
        "tokens_out": 128,
        "steps": json.dumps(steps),
    }
    row = tables.Request(**values | columns)
    with store.write() as session:
        session.add(row)
    return row


def test_a_request_is_explained_step_by_step(stoker: Stoker, store: Store) -> None:
    deployment = launch(store)
    served_by = instance(store, deployment)
    row = request(store, "mine-1", deployment_id=deployment.id, instance_id=served_by.id)
    document = stoker.json("request", "mine-1")
    assert set(document) == REQUEST_KEYS
    assert (document["status"], document["code"]) == (200, None)
    assert (document["deployment"], document["instance"]) == ("demo", "demo-a")
    assert (document["tokens_in"], document["tokens_out"], document["cost_micro"]) == (31, 128, 0)
    assert [set(step) for step in document["steps"]] == [{"name", "at", "detail"}] * 2
    assert stoker.json("request", row.id)["request_id"] == "mine-1"
    text = stoker("request", "mine-1").out
    for word in ("● 200", "demo on demo-a", "TTFT 182 ms", "31 in 128 out", "250 ms  end"):
        assert word in text


def test_the_checks_are_told_in_their_order(stoker: Stoker, store: Store) -> None:
    at = now_us()
    steps = [{"name": name, "at": at, "detail": ""} for name in ("received", "key", "body", "refused")]
    request(store, "unknown", status=404, code="MODEL_UNKNOWN", steps=json.dumps(steps), attempt_id=None)
    text = stoker("request", "unknown").out
    assert "● id   ● key   ● body   ✖ model   – size and context   – replica" in text
    assert "the engine's log" not in text


def test_the_newest_of_several_with_one_id_is_shown(stoker: Stoker, store: Store) -> None:
    request(store, "again")
    request(store, "again", status=404, code="MODEL_UNKNOWN", ttft_us=None, steps="[]", tokens_in=0, tokens_out=0)
    assert stoker.json("request", "again")["code"] == "MODEL_UNKNOWN"
    result = stoker("request", "again")
    assert "✖ 404 MODEL_UNKNOWN" in result.out
    assert "1 earlier with the same id" in result.err


def test_a_request_that_is_not_there_is_not_found(stoker: Stoker, store: Store) -> None:
    for given in ("nothing", "../x", "a\0b", "x" * 65, "\x1b[2J", ""):
        assert stoker("request", given, "--json").error["code"] == "NOT_FOUND"


def test_doctor_of_a_fresh_home_is_sound(stoker: Stoker, home: Home) -> None:
    document = stoker.json("doctor")
    assert set(document) == {"ok", "checks"}
    assert document["ok"] is True
    assert all(set(check) == {"name", "result", "code", "detail", "remedy"} for check in document["checks"])
    names = [check["name"] for check in document["checks"]]
    for name in (
        "python",
        "state",
        "disk",
        "settings",
        "store",
        "server",
        "gateway",
        "port",
        "llama.cpp",
        "model",
        "cpu",
        "docker",
        "hub",
    ):
        assert name in names
    assert "● pass" in stoker("doctor").out
    assert not home.state.exists()


def test_doctor_finds_a_damaged_store_and_a_wrong_setting(stoker: Stoker, home: Home) -> None:
    home.make()
    home.store.write_bytes(b"not a database" * 1000)
    result = stoker("doctor", "--json")
    assert result.status == 1
    failed = {c["name"]: c for c in result.document["checks"] if c["result"] == "fail"}
    assert set(failed) == {"store"}
    assert "backups" in failed["store"]["remedy"]
    (home.config / "config.toml").write_text("[edge]\nport = 'eight'\n")
    result = stoker("doctor", "--json")
    assert result.status == 1
    assert "edge.port" in {c["name"]: c for c in result.document["checks"]}["settings"]["detail"]


def test_doctor_sees_what_runs(stoker: Stoker, home: Home, server: dict[str, Any]) -> None:
    checks = {c["name"]: c for c in stoker.json("doctor")["checks"]}
    assert f"pid {server['pid']}" in checks["server"]["detail"]
    assert "sound" in checks["store"]["detail"]


def test_doctor_warns_of_a_home_that_others_can_read(stoker: Stoker, home: Home) -> None:
    home.make()
    home.state.chmod(0o755)
    checks = {c["name"]: c for c in stoker.json("doctor")["checks"]}
    assert checks["state"]["result"] == "warn"
    assert checks["state"]["remedy"].startswith("chmod 700")


def test_doctor_finds_a_port_that_is_taken(stoker: Stoker, home: Home) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        home.make()
        (home.config / "config.toml").write_text(f"[edge]\nport = {taken.getsockname()[1]}\n")
        result = stoker("doctor", "--json")
    checks = {c["name"]: c for c in result.document["checks"]}
    assert (result.status, checks["port"]["result"]) == (1, "fail")
    assert "edge.port" in checks["port"]["remedy"]
