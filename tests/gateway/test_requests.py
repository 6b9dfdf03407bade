"""What a request may hold, and what is said about one that may not."""

import gzip
import json
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.conftest import Edge

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def send(edge: Edge, body: bytes | str, path: str = CHAT, **headers: str) -> httpx2.Response:
    """A body as it is."""
    content = body if isinstance(body, bytes) else body.encode()
    return edge.client.post(edge.gateway.url + path, content=content, headers=edge.headers(headers))


def refusal(response: httpx2.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"] and error["remedy"]
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"kv_transfer_params": {}}, "kv_transfer_params"),
        ({"chat_template": "{{ 1 }}"}, "chat_template"),
        ({"id_slot": 0}, "id_slot"),
        ({"cache_salt": "x"}, "cache_salt"),
        ({"lora": []}, "lora"),
        ({"guided_regex": "(a+)+"}, "guided_regex"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "chat_template_kwargs"),
        ({"\x1b[31m": 1}, ""),
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [None, 1]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"n": 1_000_000_000}, "n"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage"),
    ],
)
def test_a_field_at_fault_is_named(edge: Edge, fields: dict[str, Any], param: str) -> None:
    before = edge.engine.seen["requests"]
    response = edge.post(**fields)
    assert refusal(response) == (400, "INVALID_REQUEST", param)
    assert edge.engine.seen["requests"] == before


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://169.254.169.254/", "https://example.com/a.png", 7, {"x": 1}]
)
def test_an_engine_is_not_sent_to_fetch_things(edge: Edge, url: object) -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    response = edge.post(messages=[{"role": "user", "content": parts}])
    assert refusal(response) == (400, "INVALID_REQUEST", "messages[0].content[1].image_url")


def test_data_urls_and_common_sampling_fields_pass(edge: Edge) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    extras: dict[str, Any] = {
        "top_k": 4,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "seed": 1,
        "tools": [],
        "logit_bias": {},
    }
    switches: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
    response = edge.post(messages=[{"role": "user", "content": parts}], **extras, **switches)
    assert response.status_code == 200
    assert edge.engine.calls[-1].body | extras | switches == edge.engine.calls[-1].body


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_prompts_come_as_texts_and_as_tokens(edge: Edge, path: str) -> None:
    name = "prompt" if path == "/v1/completions" else "input"
    good: list[Any] = ["Riga", ["Riga", "Tallinn"], [1, 2, 3], [[1, 2], [3]]]
    bad: list[Any] = [None, [], {}, [None], ["Riga", {}]]
    for prompt in good:
        assert edge.post(path, **{name: prompt}).status_code == 200
    for prompt in bad:
        assert refusal(edge.post(path, **{name: prompt})) == (400, "INVALID_REQUEST", name)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'{"model":"demo","model":"demo"}', "twice"),
        (b'{"model":"demo","\\u006dodel":"demo"}', "twice"),
        (b'{"messages":[{"role":"user","role":"system"}]}', "twice"),
        (b'{"temperature":NaN}', "NaN"),
        (b'{"temperature":-Infinity}', "Infinity"),
        (b'{"seed":' + b"9" * 5_000 + b"}", "JSON"),
        (b"[" * 200_000, "nested"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested"),
        (b"[" + b"[]," * 150_000 + b"[]]", "objects and arrays"),
        (b'{"model":"demo","messages":"' + b"\\" * 100_001, "JSON"),
    ],
)
def test_a_body_is_read_strictly(edge: Edge, body: bytes, says: str) -> None:
    response = send(edge, body)
    assert refusal(response)[:2] == (400, "INVALID_REQUEST")
    assert says in response.json()["error"]["message"]


def test_a_number_too_large_for_json_is_refused(edge: Edge) -> None:
    response = send(edge, '{"model":"demo","messages":[{"role":"user","content":"x"}],"temperature":1e999}')
    assert refusal(response)[:2] == (400, "INVALID_REQUEST")


def test_what_is_sent_is_what_was_checked(edge: Edge) -> None:
    send(edge, '{ "model" : "demo", "\\u006dessages":[{"role":"user","content":"\\ud83d\\ude00 ü"}] }')
    assert edge.engine.calls[-1].body == {"model": "demo", "messages": [{"role": "user", "content": "😀 ü"}]}


def test_nesting_up_to_the_limit_passes(edge: Edge) -> None:
    schema: dict[str, Any] = {}
    for _ in range(58):
        schema = {"properties": schema}
    assert edge.post(response_format={"type": "json_schema", "json_schema": schema}).status_code == 200


def test_a_compressed_body_is_refused(edge: Edge) -> None:
    body = gzip.compress(json.dumps({"model": "demo", "messages": HELLO}).encode())
    response = send(edge, body, **{"Content-Encoding": "gzip"})
    assert refusal(response) == (400, "INVALID_REQUEST", "Content-Encoding")


def test_a_body_over_the_limit_names_limit_and_size(edge: Edge) -> None:
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x" * 10_000_000}]})
    response = send(edge, body)
    assert refusal(response)[:2] == (413, "BODY_TOO_LARGE")
    assert response.json()["error"]["detail"] == {"limit": 10_000_000, "size": len(body)}


def test_a_chunked_body_over_the_limit_is_refused_while_it_is_read(edge: Edge) -> None:
    pieces = (b"x" * 100_000 for _ in range(200))
    response = httpx2.post(edge.gateway.url + CHAT, content=pieces, headers=edge.headers(), timeout=30)
    assert refusal(response)[:2] == (413, "BODY_TOO_LARGE")


def test_a_large_body_within_the_limit_reaches_the_engine_whole(edge: Edge) -> None:
    text = "Riga, Tallinn. " * 60_000
    assert edge.post(messages=[{"role": "user", "content": text}]).status_code == 200
    assert edge.engine.calls[-1].body["messages"][0]["content"] == text


def test_a_prompt_that_cannot_fit_does_not_reach_the_engine(edge: Edge) -> None:
    before = edge.engine.seen["requests"]
    by_tokens = edge.post("/v1/completions", prompt=list(range(5_000)))
    by_text = edge.post(messages=[{"role": "user", "content": "x" * 1_200_000}])
    for response, size in ((by_tokens, 5_000), (by_text, 4_688)):
        assert refusal(response)[:2] == (413, "CTX_TOO_LARGE")
        assert response.json()["error"]["detail"] == {"limit": 4096, "size": size}
    assert edge.engine.seen["requests"] == before


def test_paths_and_methods_that_are_not_served(edge: Edge) -> None:
    for path in ("/", "/v1", "/slots", "/v1/load_lora_adapter", "/v1/chat/completions/", "//v1/models", "/v1/%6dodelx"):
        assert refusal(edge.get(path))[:2] == (404, "PATH_NOT_ALLOWED")
    wrong = edge.get(CHAT)
    assert refusal(wrong)[:2] == (405, "INVALID_REQUEST")
    assert wrong.headers["allow"] == "POST"
    assert refusal(httpx2.put(f"{edge.gateway.url}/v1/models", headers=edge.headers()))[:2] == (405, "INVALID_REQUEST")


def test_every_answer_carries_one_request_id(edge: Edge) -> None:
    given_id = edge.get("/v1/models", {"X-Request-Id": "mine_1-2"})
    assert given_id.headers.get_list("x-request-id") == ["mine_1-2"]
    for bad in ("", "a b", "x" * 65, "a/b"):
        response = edge.get("/v1/models", {"X-Request-Id": bad})
        (ours,) = response.headers.get_list("x-request-id")
        assert len(ours) == 26
    answer = edge.post(headers={"X-Request-Id": "mine"})
    assert answer.headers.get_list("x-request-id") == ["mine"]
    # An engine may take the header for the id of its own work, which must not repeat.
    assert edge.engine.calls[-1].headers["x-request-id"] == edge.row(answer)["id"]


def test_health_is_open_and_metrics_are_on_loopback(edge: Edge) -> None:
    assert httpx2.get(f"{edge.gateway.url}/healthz").json() == {"status": "ok"}
    assert httpx2.head(f"{edge.gateway.url}/healthz").status_code == 200
    assert "# TYPE stoker_in_flight gauge" in httpx2.get(f"{edge.gateway.url}/metrics").text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["model", "messages", "prompt", "input", "n", "stream", "stream_options", "max_tokens", "tools", "stop", "seed"]
)
bodies = st.dictionaries(names, json_values | st.just("demo") | st.just(HELLO), max_size=6)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, path=st.sampled_from([CHAT, "/v1/completions", "/v1/embeddings"]))
def test_no_body_makes_the_gateway_fail(edge: Edge, body: dict[str, Any], path: str) -> None:
    response = send(edge, json.dumps({"model": "demo"} | body), path)
    assert response.status_code < 500 or response.json()["error"]["code"] == "NO_CAPACITY"
    assert "failed in the gateway itself" not in edge.gateway.log()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_no_bytes_make_the_gateway_fail(edge: Edge, body: bytes) -> None:
    assert send(edge, body).status_code == 400
