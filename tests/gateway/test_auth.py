"""Who may ask for what: keys in every state, scopes, and models that do not exist for others."""

import os
import time

import httpx2
import pytest

from app.domain.keys import RANDOM_BYTES, make_key
from tests.gateway.conftest import Edge
from tests.gateway.process import wait_for


def code(response: httpx2.Response) -> str:
    return str(response.json()["error"]["code"])


def test_without_a_key_nothing_reaches_the_engine(edge: Edge) -> None:
    before = edge.engine.seen["requests"]
    response = httpx2.post(f"{edge.gateway.url}/v1/chat/completions", json={"model": "demo"})
    assert (response.status_code, code(response)) == (401, "AUTH_MISSING_TOKEN")
    assert edge.engine.seen["requests"] == before


@pytest.mark.parametrize(
    "header",
    [
        b"Bearer nonsense",
        b"Bearer",
        b"Basic dXNlcjpwYXNz",
        b"stk_abcdefgh_" + b"a" * 49,
        b"Bearer stk_abcdefgh_" + b"a" * 49,
        b"Bearer stk_abcdefgh_" + b"a" * 48,
        b"Bearer stk_\xe4\xff\x80bcdefg_" + b"a" * 49,
        b"Bearer \xff\xfe",
    ],
)
def test_what_is_no_key_of_ours_is_invalid(edge: Edge, header: bytes) -> None:
    response = httpx2.get(f"{edge.gateway.url}/v1/models", headers=[(b"Authorization", header)])
    assert (response.status_code, code(response)) == (401, "AUTH_INVALID_TOKEN")


def test_two_keys_in_one_request_are_refused(edge: Edge) -> None:
    headers = [("Authorization", f"Bearer {edge.key}"), ("Authorization", f"Bearer {edge.key}")]
    response = httpx2.get(f"{edge.gateway.url}/v1/models", headers=headers)
    assert (response.status_code, code(response)) == (401, "AUTH_INVALID_TOKEN")


def test_only_the_full_secret_learns_that_a_key_was_revoked(edge: Edge) -> None:
    key = edge.store.key(revoked_at=1)
    edge.settle()
    revoked = edge.get("/v1/models", {"Authorization": f"Bearer {key.text}"})
    assert (revoked.status_code, code(revoked)) == (401, "AUTH_REVOKED_TOKEN")
    lookalike = make_key(os.urandom(RANDOM_BYTES)).text.replace(key.id, "x")
    wrong = f"stk_{key.id}_{lookalike[-49:]}"
    guessed = edge.get("/v1/models", {"Authorization": f"Bearer {wrong}"})
    assert (guessed.status_code, code(guessed)) == (401, "AUTH_INVALID_TOKEN")


def test_an_expired_key_says_when_it_expired(edge: Edge) -> None:
    key = edge.store.key(expires_at=1_700_000_000_000_000)
    edge.settle()
    error = edge.get("/v1/models", {"Authorization": f"Bearer {key.text}"}).json()["error"]
    assert error["code"] == "AUTH_REVOKED_TOKEN"
    assert error["detail"] == {"expired_at": "2023-11-14T22:13:20Z"}


def test_revocation_takes_effect_while_the_gateway_runs(edge: Edge) -> None:
    key = edge.store.key()
    edge.settle()
    headers = {"Authorization": f"Bearer {key.text}"}
    assert edge.get("/v1/models", headers).status_code == 200
    edge.store.execute("UPDATE keys SET revoked_at = ? WHERE id = ?", time.time_ns() // 1000, key.id)
    wait_for(lambda: edge.get("/v1/models", headers).status_code == 401)


def test_a_key_sees_and_calls_only_what_is_in_its_scope(edge: Edge) -> None:
    other = edge.store.deployment("other")
    key = edge.store.key(other)
    edge.settle()
    headers = {"Authorization": f"Bearer {key.text}"}
    assert [model["id"] for model in edge.get("/v1/models", headers).json()["data"]] == ["other"]
    theirs = edge.post(headers=headers, model="demo")
    unknown = edge.post(headers=headers, model="nope")
    assert theirs.status_code == unknown.status_code == 404
    shape = [response.text.replace(response.headers["x-request-id"], "ID") for response in (theirs, unknown)]
    assert shape[0].replace("demo", "nope") == shape[1]
    assert edge.get("/v1/models/demo", headers).status_code == 404
    edge.store.execute("UPDATE deployments SET gone_at = 1 WHERE id = ?", other)


def test_default_is_the_only_deployment_a_key_may_call(edge: Edge) -> None:
    key = edge.store.key(edge.deployment)
    second = edge.store.deployment("second")
    edge.settle()
    answer = edge.post(headers={"Authorization": f"Bearer {key.text}"}, model="default")
    assert answer.status_code == 200
    assert edge.engine.calls[-1].body["model"] == "demo"
    ambiguous = edge.post(model="default")
    assert (ambiguous.status_code, code(ambiguous)) == (404, "MODEL_UNKNOWN")
    edge.store.execute("UPDATE deployments SET gone_at = 1 WHERE id = ?", second)


def test_models_carry_their_status_and_context(edge: Edge) -> None:
    model = edge.get("/v1/models/demo").json()
    assert (model["id"], model["object"], model["max_model_len"], model["status"]) == (
        "demo",
        "model",
        4096,
        "DEPLOYED",
    )


def test_the_engine_gets_its_own_key_and_not_the_clients(edge: Edge) -> None:
    edge.post()
    headers = edge.engine.calls[-1].headers
    assert headers["authorization"] == "Bearer engine-key"
    assert edge.key not in str(headers)


def test_use_of_a_key_is_noted(edge: Edge) -> None:
    key = edge.store.key()
    edge.settle()
    edge.get("/v1/models", {"Authorization": f"Bearer {key.text}"})
    wait_for(lambda: edge.store.rows("SELECT last_used_at FROM keys WHERE id = ?", key.id)[0]["last_used_at"])


def test_keys_are_not_in_the_log(edge: Edge) -> None:
    edge.post(user="boom")
    wait_for(lambda: "UPSTREAM_FAILED" in edge.gateway.log())
    assert "stk_" not in edge.gateway.log()
    assert "engine-key" not in edge.gateway.log()
