"""The commands in one story, as a newcomer has it: launch, ask, look, change, keys, stop, remove."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.control.support import wait_for
from tests.e2e.stoker import COMMAND, Stoker, installed


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


def test_launching_and_asking(stoker: Stoker) -> None:
    launched = stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "512", "--seqs", "2", "--wait", "--key")
    assert (launched["status"], launched["replicas"]) == ("DEPLOYED", {"ready": 1, "want": 1})
    assert launched["url"] == stoker.json("status")["gateway"]["url"] + "/v1"
    history = [event["to"] for event in stoker.json("events", "demo") if event["subject"] == "demo"]
    assert history == ["REQUESTED", "DEPLOYING", "INITIALIZING", "DEPLOYED"]
    asking(stoker)
    keys(stoker, launched["key"])


def asking(stoker: Stoker) -> None:
    done = stoker.run("ask", "demo", "Name a port on the Baltic sea")
    assert done.stdout.strip()
    assert "TTFT" in done.stderr
    assert "tok/s" in done.stderr
    answer = json.loads(stoker.run("ask", "demo", "-", "--json", stdin="Say hello").stdout)
    assert set(answer) == {"text", "request_id", "ttft_ms", "tokens_in", "tokens_out"}
    assert answer["text"]
    assert answer["tokens_in"] > 0
    assert answer["tokens_out"] > 0
    explained = stoker.json("request", answer["request_id"])
    assert (explained["status"], explained["deployment"], explained["instance"]) == (200, "demo", "demo-a")
    assert (explained["tokens_in"], explained["tokens_out"]) == (answer["tokens_in"], answer["tokens_out"])
    names = [step["name"] for step in explained["steps"]]
    assert names[0] == "received"
    assert names[-1] == "end"
    text = stoker.run("request", answer["request_id"]).stdout
    assert "● key   ● body   ● model   ● size and context   ● replica" in text
    assert "the engine's log meanwhile" in text
    refused = stoker.run("ask", "demo", "word " * 2_000, "--json", check=False)
    assert json.loads(refused.stderr)["error"]["code"] == "CTX_TOO_LARGE"


def keys(stoker: Stoker, scoped: dict[str, Any]) -> None:
    """The key of the launch works for its deployment; `ask` has one of its own and makes another when it is revoked."""
    assert scoped["scope"] == ["demo"]
    client = stoker.client(scoped["key"])
    said = client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}], max_tokens=4)
    assert said.choices[0].message.content
    path = stoker.home.keys / "ask.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    stoker.run("keys", "revoke", before)
    stoker.run("keys", "revoke", scoped["id"])

    def refused() -> bool:
        try:
            client.models.list()
        except openai.AuthenticationError as error:
            return error.code == "AUTH_REVOKED_TOKEN"
        return False

    wait_for(refused, "the key to be refused")
    assert stoker.json("ask", "demo", "Say hello")["text"]
    assert path.read_text() != before


def test_looking_and_changing(stoker: Stoker) -> None:
    """A change and a rollback take over; waiting ends when nothing older is left."""
    stoker.launch()
    shown = stoker.json("show", "demo")
    (instance,) = shown["instances"]
    assert instance["pid"] == stoker.engine()
    assert (instance["state"], instance["phase"], instance["attempt"]) == ("running", "serving", 1)
    assert "loading model" in stoker.run("logs", "demo").stdout
    assert "demo-a" in stoker.run("logs", "@server").stdout
    assert "Listening" in stoker.run("logs", "@gateway").stdout
    assert stoker.json("doctor")["ok"]
    changed = stoker.json("change", "demo", "--ctx", "1024", "--wait")
    assert (changed["variant"], changed["status"]) == (2, "DEPLOYED")
    assert [i["variant"] for i in stoker.json("show", "demo")["instances"]] == [2]
    stoker.json("rollback", "demo", "1", "--wait")
    assert [i["variant"] for i in stoker.json("show", "demo")["instances"]] == [1]
    engine = stoker.engine()
    stoker.json("restart", "demo", "--wait")
    assert stoker.engine() != engine


def test_stopping_and_leaving(stoker: Stoker) -> None:
    stoker.launch()
    assert stoker.json("stop", "demo", "--wait")["status"] == "STOPPED"
    refused = stoker.run("ask", "demo", "hello?", "--json", check=False)
    assert json.loads(refused.stderr)["error"]["code"] == "DEPLOYMENT_STOPPED"
    assert stoker.json("start", "demo", "--wait")["status"] == "DEPLOYED"
    down = stoker.json("down")
    assert (down["server"], down["gateway"]["state"]) == ("down", "running")
    assert stoker.json("ps")[0]["status"] == "DEPLOYED"
    assert "server down" in stoker.run("ps").stdout
    assert stoker.json("ask", "demo", "Say hello")["text"]
    assert stoker.json("up")["server"] == "running"
    stoker.run("rm", "demo", "--yes", "--wait")
    assert stoker.json("ps") == []
    everything = stoker.json("down", "--all")
    assert (everything["server"], everything["gateway"]["state"]) == ("down", "down")


def test_serve_waits_for_its_turn_and_takes_over(stoker: Stoker) -> None:
    with serve(stoker) as first, serve(stoker) as second:
        wait_for(lambda: stoker.json("status")["server"] == "running", "a server")
        pid = stoker.pid("server")
        holder, other = (first, second) if pid == first.pid else (second, first)
        holder.kill()
        wait_for(lambda: stoker.json("status")["pid"] == other.pid, "the other to take over")
        other.terminate()
        assert other.wait(30) == 0


@contextmanager
def serve(stoker: Stoker) -> Iterator[subprocess.Popen[bytes]]:
    """`stoker serve` for the length of the block."""
    with subprocess.Popen([COMMAND, "serve"], env=stoker.env, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_down_all_stops_everything_and_keeps_the_wish(stoker: Stoker) -> None:
    stoker.launch()
    engine = stoker.engine()
    stoker.run("down", "--all")
    with pytest.raises(ProcessLookupError):
        os.kill(engine, 0)
    (row,) = stoker.json("ps")
    assert (row["status"], row["detail"], row["url"]) == ("STOPPED", "by shutdown", None)
    refused = stoker.run("change", "demo", "--ctx", "256", "--wait", "--json", check=False)
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "DEPLOYMENT_STOPPED"
    assert stoker.json("start", "demo", "--wait")["status"] == "DEPLOYED"
