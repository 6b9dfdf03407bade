"""kill -9 of every process in turn while an answer streams: what survives, what is said, and that nothing is lost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from app.store import read
from tests.control.support import engines, wait_for
from tests.e2e.stoker import Stoker, installed

PROMPT: Any = [{"role": "user", "content": "Count from one to a thousand, in words."}]


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        stoker.launch()
        yield stoker


def test_a_stream_outlives_the_server_and_the_gateway_starts_another(stoker: Stoker) -> None:
    engine, server = stoker.engine(), stoker.pid("server")
    chunks = stream(stoker.client(), 150)
    next(chunks)
    os.kill(server, signal.SIGKILL)
    assert sum(1 for _ in chunks) > 100
    wait_for(lambda: stoker.pid("server") != server, "the gateway to start another server")
    wait_for(lambda: stoker.json("status")["server"] == "running", "the new server to serve")
    assert stoker.engine() == engine
    assert stoker.json("ps")[0]["status"] == "DEPLOYED"
    usage_is_whole(stoker, 1)


def test_the_server_starts_another_gateway_and_the_cut_request_is_kept(stoker: Stoker) -> None:
    engine, gateway = stoker.engine(), stoker.pid("gateway")
    client = stoker.client()
    chunks = stream(client, 400)
    next(chunks)
    os.kill(gateway, signal.SIGKILL)
    with pytest.raises(openai.APIConnectionError):
        list(chunks)
    wait_for(lambda: stoker.pid("gateway") != gateway, "another gateway")
    assert stoker.engine() == engine
    assert stoker.json("ask", "demo", "Say hello")["text"]
    usage_is_whole(stoker, 2)
    rows = requests(stoker)
    assert [(row["code"], row["estimated"]) for row in rows] == [("UPSTREAM_FAILED", 1), (None, 0)]


@pytest.mark.parametrize(("victim", "evidence"), [("engine", "SIGKILL"), ("keeper", "its keeper was killed")])
def test_a_killed_engine_is_named_and_started_again(stoker: Stoker, victim: str, evidence: str) -> None:
    engine = stoker.engine()
    chunks = stream(stoker.client(), 400)
    next(chunks)
    os.kill(getattr(stoker, victim)(), signal.SIGKILL)
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code == "UPSTREAM_FAILED"
    wait_for(lambda: set(engines(stoker.home)) not in ({engine}, set()), "another engine")
    wait_for(lambda: stoker.json("ps")[0]["status"] == "DEPLOYED", "the restart")
    failed = [e for e in stoker.json("events", "demo") if e["to"] == "failed/failed"]
    assert [(e["cause"], evidence in e["detail"]) for e in failed] == [("KILLED_EXTERNALLY", True)]
    assert stoker.json("ask", "demo", "Say hello")["text"]
    usage_is_whole(stoker, 2)


def stream(client: openai.OpenAI, tokens: int) -> Iterator[Any]:
    """The chunks of a long answer that carry text."""
    answer = client.chat.completions.create(
        model="demo", messages=PROMPT, max_tokens=tokens, stream=True, extra_body={"ignore_eos": True}
    )
    return (chunk for chunk in answer if chunk.choices and chunk.choices[0].delta.content)


def requests(stoker: Stoker) -> list[Any]:
    """The rows of requests that reached an engine, oldest first."""
    with read.reading(stoker.home.store) as connection:
        return connection.execute("SELECT * FROM requests WHERE attempt_id IS NOT NULL ORDER BY id").fetchall()


def usage_is_whole(stoker: Stoker, count: int) -> None:
    """Every request that reached an engine has exactly one row."""
    wait_for(lambda: len(requests(stoker)) >= count, f"{count} usage rows")
    assert len(requests(stoker)) == count
