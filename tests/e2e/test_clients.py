"""What a client of the endpoint meets, through the official library: answers, and every refusal as its exception."""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.control.support import wait_for
from tests.e2e.stoker import Stoker, installed, refusal

HELLO: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    """`demo` serves, `resting` is stopped, `broken` has failed for good."""
    with installed(tmp_path_factory.mktemp("home")) as stoker:
        stoker.launch()
        stoker.launch("resting")
        stoker.run("stop", "resting", "--wait")
        stoker.run("launch", "smollm2", "--name", "broken", "--set", "n-gpu-layerz=3", "--wait", check=False)
        yield stoker


@pytest.fixture(scope="module")
def client(stoker: Stoker) -> openai.OpenAI:
    return stoker.client()


def test_a_chat(stoker: Stoker, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="demo", messages=HELLO, max_tokens=8)
    answer = raw.parse()
    assert answer.choices[0].message.content and answer.usage
    row = stoker.json("request", raw.headers["x-request-id"])
    assert (row["status"], row["code"], row["deployment"], row["instance"]) == (200, None, "demo", "demo-a")
    assert (row["tokens_in"], row["tokens_out"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream(stoker: Stoker, client: openai.OpenAI, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    mine = {"X-Request-Id": f"mine-{usage}"}
    stream = client.chat.completions.create(
        model="demo", messages=HELLO, max_tokens=8, stream=True, extra_headers=mine, **options
    )
    chunks = list(stream)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    counted = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(counted) == usage
    row = stoker.json("request", f"mine-{usage}")
    assert (row["status"], row["request_id"]) == (200, f"mine-{usage}")
    assert 0 < row["tokens_out"] <= 8, "usage is counted whether the client asked for it or not"
    assert not usage or (counted[0] and counted[0].completion_tokens == row["tokens_out"])


def test_a_completion_and_the_list_of_models(client: openai.OpenAI) -> None:
    assert client.completions.create(model="demo", prompt="Hello", max_tokens=4).choices[0].text
    assert {model.id for model in client.models.list()} == {"demo", "resting", "broken"}


def refuse(what: Callable[[openai.OpenAI], Any], **options: Any) -> Callable[[openai.OpenAI], Any]:
    return lambda client: what(client.with_options(**options))


REFUSALS: list[tuple[str, type[openai.APIStatusError], int, Callable[[openai.OpenAI], Any]]] = [
    (
        "AUTH_INVALID_TOKEN",
        openai.AuthenticationError,
        401,
        refuse(lambda c: c.models.list(), api_key="stk_00000000_" + "0" * 49),
    ),
    ("INVALID_REQUEST", openai.BadRequestError, 400, lambda c: c.embeddings.create(model="demo", input="Hello")),
    (
        "INVALID_REQUEST",
        openai.BadRequestError,
        400,
        lambda c: c.chat.completions.create(model="demo", messages=HELLO, extra_body={"chat_template": "{{ 1 }}"}),
    ),
    ("PATH_NOT_ALLOWED", openai.NotFoundError, 404, lambda c: c.images.generate(model="demo", prompt="a port")),
    ("MODEL_UNKNOWN", openai.NotFoundError, 404, lambda c: c.chat.completions.create(model="no", messages=HELLO)),
    (
        "CTX_TOO_LARGE",
        openai.APIStatusError,
        413,
        lambda c: c.completions.create(model="demo", prompt="port " * 600, max_tokens=1),
    ),
    (
        "BODY_TOO_LARGE",
        openai.APIStatusError,
        413,
        lambda c: c.completions.create(model="demo", prompt="port" * 2_600_000),
    ),
    (
        "DEPLOYMENT_STOPPED",
        openai.InternalServerError,
        503,
        lambda c: c.chat.completions.create(model="resting", messages=HELLO),
    ),
    (
        "NO_CAPACITY",
        openai.InternalServerError,
        503,
        lambda c: c.chat.completions.create(model="broken", messages=HELLO),
    ),
]


@pytest.mark.parametrize(("code", "exception", "status", "what"), REFUSALS, ids=[f"{r[0]}-{r[2]}" for r in REFUSALS])
def test_a_refusal(
    stoker: Stoker,
    client: openai.OpenAI,
    code: str,
    exception: type[openai.APIStatusError],
    status: int,
    what: Callable[[openai.OpenAI], Any],
) -> None:
    with pytest.raises(exception) as caught:
        what(client)
    error = caught.value
    assert (error.code, error.status_code) == (code, status)
    assert isinstance(error.body, dict)
    assert error.body["remedy"] and error.body["request_id"] == error.request_id
    assert error.request_id
    row = stoker.json("request", error.request_id)
    assert (row["status"], row["code"]) == (status, code)


def test_refusals_say_the_numbers_and_the_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as long:
        client.completions.create(model="demo", prompt="port " * 600, max_tokens=1)
    assert isinstance(long.value.body, dict)
    assert long.value.body["detail"]["limit"] == 512 < long.value.body["detail"]["size"]
    with pytest.raises(openai.BadRequestError, match="embedding"):
        client.embeddings.create(model="demo", input="Hello")
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="broken", messages=HELLO)
    assert isinstance(failed.value.body, dict)
    (replica,) = failed.value.body["detail"]["replicas"]
    assert "BAD_FLAG" in replica["reason"] and "--n-gpu-layers" in replica["reason"]


def test_no_key_no_answer(stoker: Stoker) -> None:
    parts = urlsplit(stoker.json("status")["gateway"]["url"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": "demo", "messages": HELLO}))
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"]) == (401, "AUTH_MISSING_TOKEN")
    assert answer.getheader("x-request-id") == error["request_id"]
    assert stoker.json("request", error["request_id"])["code"] == "AUTH_MISSING_TOKEN"


def test_a_key_reaches_what_it_is_for(stoker: Stoker) -> None:
    client = stoker.client(stoker.json("keys", "create", "--deployment", "resting")["key"])
    assert [model.id for model in client.models.list()] == ["resting"]
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="demo", messages=HELLO)
    assert caught.value.code == "MODEL_UNKNOWN"


def test_a_revoked_key_is_refused(stoker: Stoker) -> None:
    made = stoker.json("keys", "create")
    client = stoker.client(made["key"])
    stoker.run("keys", "revoke", made["id"])
    wait_for(lambda: refusal(client) == "AUTH_REVOKED_TOKEN", "the revocation to reach the gateway")
    states = {key["id"]: key["state"] for key in stoker.json("keys", "ls")}
    assert states[made["id"]] == "revoked"


def test_a_rotated_key_lives_through_its_grace(stoker: Stoker) -> None:
    made = stoker.json("keys", "create", "--deployment", "demo")
    old = stoker.client(made["key"])
    rotated = stoker.json("keys", "rotate", made["id"], "--grace", "1h")
    new = stoker.client(rotated["key"])
    assert (refusal(old), rotated["scope"]) == ("", ["demo"])
    shorter = stoker.client(stoker.json("keys", "rotate", rotated["id"], "--grace", "0s")["key"])
    wait_for(lambda: refusal(new) == "AUTH_REVOKED_TOKEN", "the grace to end")
    assert refusal(shorter) == ""


def test_a_key_expires(stoker: Stoker) -> None:
    made = stoker.json("keys", "create", "--expires", "3s")
    client = stoker.client(made["key"])
    wait_for(lambda: refusal(client) == "AUTH_REVOKED_TOKEN", "the key to expire")
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["detail"]["expired_at"].startswith("20")
