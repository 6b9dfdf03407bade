"""Answers on their way through: what the client gets, what is counted, and what happens when an end falls away."""

import json
import socket
import time
from contextlib import closing
from typing import Any

import httpx2
import pytest

from tests.gateway.conftest import CONFIG, Edge, close_edge, make_edge
from tests.gateway.engine import BEHAVIOURS, PROMPT_TOKENS, WORDS
from tests.gateway.process import wait_for

EXACT = {"tokens_in": PROMPT_TOKENS, "tokens_out": len(WORDS), "estimated": 0, "code": None, "status": 200}


def events(response: httpx2.Response) -> list[Any]:
    """The documents of a stream, `[DONE]` left out."""
    found = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(text) for text in found if text != "[DONE]"]


def text(response: httpx2.Response) -> list[str]:
    """The tokens of a stream."""
    return [c["delta"]["content"] for e in events(response) for c in e.get("choices", []) if c["delta"].get("content")]


def expect(edge: Edge, response: httpx2.Response, **values: object) -> dict[str, Any]:
    """The row of a request, which holds these values."""
    row = edge.row(response)
    assert row | values == row
    return row


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_an_answer_is_passed_on_and_counted(edge: Edge, path: str) -> None:
    response = edge.post(path)
    assert response.json()["choices"][0]["message"]["content"] == "Riga Tallinn Gdansk"
    row = expect(edge, response, **EXACT, path=path, stream=0, ttft_us=None, instance_id=edge.instance)
    names = [step["name"] for step in json.loads(row["steps"])]
    assert names == ["received", "key", "body", "model", "context", "route", "end"]
    assert row["duration_us"] > 0
    assert abs(row["started_at"] - time.time_ns() // 1000) < 60_000_000


def test_embeddings_count_their_input(edge: Edge) -> None:
    expect(edge, edge.post("/v1/embeddings"), tokens_in=PROMPT_TOKENS, tokens_out=0, estimated=0)


def test_a_stream_says_that_it_is_through_where_the_engine_does_not(edge: Edge) -> None:
    response = edge.post(stream=True, user="unending")
    assert text(response) == list(WORDS)
    assert response.text.endswith("data: [DONE]\n\n")
    expect(edge, response, **EXACT, stream=1)


def test_an_engine_that_knows_no_names_is_told_none(edge: Edge) -> None:
    """Transformers serves only what it was started for, and refuses every other name."""
    nameless = edge.store.deployment("nameless", engine="transformers")
    edge.store.instance(nameless, edge.engine.url, secret="engine-key")
    edge.settle()
    assert edge.post(model="nameless").status_code == 200
    assert "model" not in edge.engine.calls[-1].body
    assert edge.post().status_code == 200
    assert edge.engine.calls[-1].body["model"] == "demo"
    edge.store.execute("UPDATE deployments SET gone_at = 1 WHERE id = ?", nameless)


def test_usage_is_hidden_from_who_did_not_ask(edge: Edge) -> None:
    response = edge.post(stream=True)
    assert edge.engine.calls[-1].body["stream_options"] == {"include_usage": True}
    assert text(response) == list(WORDS)
    assert "usage" not in response.text
    assert response.text.endswith("data: [DONE]\n\n")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["x-accel-buffering"] == "no"
    row = expect(edge, response, **EXACT, stream=1)
    assert 0 < row["ttft_us"] <= row["duration_us"]
    assert "first byte" in row["steps"]


def test_usage_is_shown_to_who_asked(edge: Edge) -> None:
    response = edge.post(stream=True, stream_options={"include_usage": True})
    assert events(response)[-1]["usage"]["completion_tokens"] == len(WORDS)
    expect(edge, response, **EXACT)


@pytest.mark.parametrize("asked", [True, False])
def test_events_cut_anywhere_and_ended_otherwise_are_read_as_well(edge: Edge, asked: bool) -> None:
    response = edge.post(stream=True, stream_options={"include_usage": asked}, user="crlf")
    assert text(response) == list(WORDS)
    assert ("usage" in response.text) == asked
    expect(edge, response, **EXACT)


def test_several_choices_are_counted_each(edge: Edge) -> None:
    streamed = edge.post(stream=True, n=2, user="two choices")
    expect(edge, streamed, tokens_in=PROMPT_TOKENS, tokens_out=8, estimated=0)
    total = edge.post(n=2, user="total of choices")
    expect(edge, total, tokens_in=PROMPT_TOKENS, tokens_out=6, estimated=0)
    # llama.cpp tells the count of the first choice only: the rest goes by its length, and is marked.
    whole = edge.post(n=2, user="two choices")
    row = expect(edge, whole, tokens_in=PROMPT_TOKENS, estimated=1)
    assert row["tokens_out"] in (3, 4)


@pytest.mark.parametrize("stream", [True, False])
def test_without_a_count_there_is_a_marked_estimate(edge: Edge, stream: bool) -> None:
    row = expect(edge, edge.post(stream=stream, user="no usage"), estimated=1, status=200)
    assert row["tokens_in"] > 0
    assert row["tokens_out"] == (3 if stream else 0)


def test_a_count_that_cannot_be_is_not_believed(edge: Edge) -> None:
    row = expect(edge, edge.post(user="mad usage"), estimated=1, status=200)
    assert 0 <= row["tokens_in"] < 100 and row["tokens_out"] == 0


def test_an_answer_that_ends_with_its_connection_is_complete(edge: Edge) -> None:
    expect(edge, edge.post(user="unframed"), **EXACT)


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "says"),
    [
        ("boom", 502, "UPSTREAM_FAILED", "EngineCore encountered an issue."),
        ("reset", 502, "UPSTREAM_FAILED", "broke off"),
        ("cut", 502, "UPSTREAM_FAILED", "broke off"),
        ("nonsense", 502, "UPSTREAM_FAILED", "not HTTP"),
        ("bad key", 502, "UPSTREAM_FAILED", "Invalid API Key"),
        ("loading", 502, "UPSTREAM_FAILED", "Loading model"),
        ("bad field", 400, "INVALID_REQUEST", "`top_k` must be positive"),
        ("cannot", 400, "INVALID_REQUEST", "does not support embeddings"),
        ("busy", 503, "NO_CAPACITY", "busy"),
    ],
)
def test_what_the_engine_refuses_is_explained(edge: Edge, behaviour: str, status: int, code: str, says: str) -> None:
    response = edge.post(user=behaviour)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert says in error["message"] and "\x1b" not in error["message"]
    expect(edge, response, status=status, code=code, tokens_out=0)


def test_the_field_an_engine_complains_about_is_named(edge: Edge) -> None:
    assert edge.post(user="bad field").json()["error"]["param"] == "top_k"


@pytest.mark.parametrize(("behaviour", "size"), [("llama context", 5031), ("vllm context", 1025)])
def test_a_prompt_the_engine_finds_too_long_tells_limit_and_size(edge: Edge, behaviour: str, size: int) -> None:
    response = edge.post(user=behaviour)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (413, "CTX_TOO_LARGE")
    assert error["detail"] == {"limit": 1024, "size": size}
    expect(edge, response, status=413, code="CTX_TOO_LARGE", tokens_in=0, tokens_out=0, estimated=0)


@pytest.mark.parametrize("behaviour", ["cut", "endless event"])
def test_an_engine_that_dies_in_the_middle_is_told_in_the_stream(edge: Edge, behaviour: str) -> None:
    response = edge.post(stream=True, user=behaviour)
    assert response.status_code == 200
    assert text(response)[0] == "Riga"
    error = events(response)[-1]["error"]
    assert error["code"] == "UPSTREAM_FAILED"
    assert error["request_id"] == response.headers["x-request-id"]
    row = expect(edge, response, code="UPSTREAM_FAILED", status=502, estimated=1)
    assert row["tokens_out"] >= 1
    wait_for(lambda: edge.metric("stoker_in_flight") == 0)


def leave(edge: Edge, behaviour: str, stream: bool, after: bytes) -> None:
    """Send a request, read until `after` came, and hang up."""
    host, _, port = edge.gateway.url.removeprefix("http://").partition(":")
    content = {"model": "demo", "user": behaviour, "stream": stream, "messages": [{"role": "user", "content": "x"}]}
    body = json.dumps(content).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.key}\r\n"
    with closing(socket.create_connection((host, int(port)), timeout=30)) as connection:
        before = edge.engine.seen["requests"]
        connection.sendall(f"{head}X-Request-Id: left\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: edge.engine.seen["requests"] > before)
        received = b""
        while after not in received:
            received += connection.recv(65_536)


@pytest.mark.parametrize(
    ("behaviour", "stream", "after"), [("silence", True, b""), ("silence", False, b""), ("drip", True, b"drop")]
)
def test_a_client_that_leaves_takes_its_request_along(
    own_edge: Edge, behaviour: str, stream: bool, after: bytes
) -> None:
    leave(own_edge, behaviour, stream, after)
    wait_for(lambda: own_edge.engine.seen["abandoned"] == 1)
    wait_for(lambda: own_edge.metric("stoker_in_flight") == 0)
    (row,) = wait_for(lambda: own_edge.store.rows("SELECT * FROM requests WHERE request_id = 'left'"))
    assert (row["status"], row["code"], row["estimated"]) == (499, None, 1)
    assert (row["tokens_out"] > 0) == bool(after)


def test_a_storm_of_leaving_clients_leaves_nothing_behind(own_edge: Edge) -> None:
    own_edge.store.execute("UPDATE deployments SET variant_id = variant_id")
    for round_ in range(12):
        leave(own_edge, "drip" if round_ % 2 else "silence", True, b"drop" if round_ % 2 else b"")
    wait_for(lambda: own_edge.engine.seen["abandoned"] == 12)
    wait_for(lambda: own_edge.metric("stoker_in_flight") == 0)
    wait_for(lambda: len(own_edge.store.requests()) == 12)
    assert own_edge.post().status_code == 200


def test_a_client_that_does_not_read_holds_the_engine_back(own_edge: Edge) -> None:
    host, _, port = own_edge.gateway.url.removeprefix("http://").partition(":")
    body = b'{"model":"demo","user":"flood","stream":true,"messages":[{"role":"user","content":"x"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {own_edge.key}\r\n"
    with closing(socket.create_connection((host, int(port)))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

        def at_rest() -> int:
            before = own_edge.engine.seen["flooded"]
            time.sleep(0.3)  # the pace is what is looked at, not an event to wait for
            return before if before == own_edge.engine.seen["flooded"] else 0

        # Buffers of four sockets and two processes, not the memory of the gateway.
        assert wait_for(at_rest) < 40_000
    wait_for(lambda: own_edge.metric("stoker_in_flight") == 0)


@pytest.mark.parametrize(("behaviour", "stream"), [("silence", False), ("silence", True), ("stall", True)])
def test_an_engine_that_is_silent_is_given_up(tmp_path: Any, behaviour: str, stream: bool) -> None:
    edge = make_edge(tmp_path, CONFIG + "chunk_timeout = 0.2\nanswer_timeout = 0.4\n")
    try:
        response = edge.post(stream=stream, user=behaviour)
        error = events(response)[-1]["error"] if behaviour == "stall" else response.json()["error"]
        assert error["code"] == "UPSTREAM_TIMEOUT"
        assert response.status_code == (200 if behaviour == "stall" else 504)
        assert "Stream" in error["remedy"]
        expect(edge, response, status=504, code="UPSTREAM_TIMEOUT", estimated=1)
        wait_for(lambda: edge.engine.seen["active"] == 0)
    finally:
        close_edge(edge)


def test_a_client_that_never_reads_is_let_go(tmp_path: Any) -> None:
    edge = make_edge(tmp_path, CONFIG + "chunk_timeout = 0.2\n")
    try:
        host, _, port = edge.gateway.url.removeprefix("http://").partition(":")
        body = b'{"model":"demo","user":"flood","stream":true,"messages":[{"role":"user","content":"x"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.key}\r\n"
        with closing(socket.create_connection((host, int(port)))) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            wait_for(lambda: edge.engine.seen["abandoned"] == 1)
            wait_for(lambda: edge.metric("stoker_in_flight") == 0)
    finally:
        close_edge(edge)


def test_every_behaviour_of_the_engine_leaves_the_gateway_well(edge: Edge) -> None:
    for behaviour in BEHAVIOURS.keys() - {"wait", "drip", "flood", "silence", "stall"}:
        for stream in (True, False):
            edge.post(stream=stream, user=behaviour)
    wait_for(lambda: edge.metric("stoker_in_flight") == 0)
    assert edge.post().status_code == 200
    assert "Traceback" not in edge.gateway.log()
