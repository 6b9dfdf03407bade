"""A model of the hub from its first byte to its last: fetched, cut, gone on with, served, damaged, mended, removed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store import read
from tests.control.support import bundled_model, status, wait_for
from tests.e2e.stoker import Stoker, installed
from tests.launch.model_hub import COMMIT, ModelHub, serving

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
HELD = 30_000_000


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with serving({"org/SmolLM2-GGUF": {FILE: bundled_model().read_bytes(), "other.Q2_K.gguf": b"GGUF"}}) as hub:
        yield hub


@pytest.fixture
def stoker(tmp_path: Path, hub: ModelHub) -> Iterator[Stoker]:
    """An installation whose server knows the hub from its own configuration."""
    with installed(tmp_path / "home") as stoker:
        stoker.home.make()
        env = f'HF_ENDPOINT = "{hub.url}", HF_HOME = "{tmp_path / "hf"}"'
        (stoker.home.config / "config.toml").write_text(f"[server]\nenv = {{{env}}}\n")
        yield stoker


def fetched(stoker: Stoker) -> int:
    """Bytes that have arrived of the download under way, as the store tells."""
    with read.reading(stoker.home.store) as connection:
        return sum(work.done for work in read.fetches(connection).values())


def test_a_model_of_the_hub_is_fetched_over_a_kill_served_damaged_and_mended(
    stoker: Stoker, hub: ModelHub, tmp_path: Path
) -> None:
    hub.hold = HELD
    words = ("launch", "org/SmolLM2-GGUF", "--quant", "q4_1", "--ctx", "256", "--seqs", "1")
    checks = {check["name"]: check for check in stoker.json(*words, "--dry-run")["checks"]}
    assert (checks["hub"]["result"], checks["model"]["result"], checks["disk"]["result"]) == ("pass", "warn", "pass")
    stoker.json(*words, "--name", "demo")
    wait_for(lambda: fetched(stoker) >= HELD - 1_000_000, "most of what the hub sends")
    assert stoker.json("ps")[0]["detail"].startswith("copying_files 3")
    os.kill(stoker.pid("server"), signal.SIGKILL)
    (partial,) = (tmp_path / "hf").rglob("*.incomplete")
    arrived = partial.stat().st_size
    hub.held.set()
    stoker.json("up")
    wait_for(lambda: status(stoker.home) == "DEPLOYED", "the model to answer")
    assert hub.ranges(FILE)[-1] == f"bytes={arrived}-"
    assert "pending/copying_files" in [event["to"] for event in stoker.json("events", "demo")]
    assert stoker.answers()
    (kept,) = stoker.json("models", "ls")
    assert (kept["name"], kept["revision"], kept["variants"]) == ("org/SmolLM2-GGUF", COMMIT, ["demo/1"])
    assert (kept["size"], kept["needed"], kept["partial"]) == (bundled_model().stat().st_size, True, 0)
    refused = stoker.run("models", "rm", "org/SmolLM2-GGUF", "--yes", "--json", check=False)
    assert json.loads(refused.stderr)["error"]["code"] == "MODEL_IN_USE"

    stoker.json("stop", "demo", "--wait")
    (blob,) = (tmp_path / "hf").glob("hub/models--*/blobs/*")
    with blob.open("r+b") as file:
        file.write(bytes(1_000_000))
    assert not json.loads(stoker.run("models", "verify", "--json", check=False).stdout)["ok"]
    stoker.run("start", "demo", "--wait", check=False)
    wait_for(lambda: stoker.json("ps")[0]["status"] == "MUST_REDOWNLOAD", "the damage to be found")
    failure = stoker.json("ps")[0]["failure"]
    assert failure["code"] == "MODEL_LOAD_ERROR"
    assert f"{FILE} is damaged: its checksum" in failure["evidence"]
    assert stoker.json("fix", "demo")["fixes"][0]["title"] == "fetch the file again"
    assert stoker.json("fix", "demo", "1", "--wait")["status"] == "DEPLOYED"
    assert stoker.json("models", "verify")["ok"]

    stoker.json("stop", "demo", "--wait")
    blob.unlink()
    stoker.run("start", "demo", "--wait", check=False)
    assert stoker.json("ps")[0]["failure"]["code"] == "MUST_REDOWNLOAD"
    stoker.json("rm", "demo", "--yes", "--wait")
    stoker.json("models", "rm", "org/SmolLM2-GGUF", "--yes")
    assert stoker.json("models", "ls") == []
