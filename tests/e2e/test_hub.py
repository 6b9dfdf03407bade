"""A model of the hub from its first byte to its last: fetched, cut, gone on with, served, damaged, mended, removed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.store import read
from app.store.sqlite import connect_reader
from tests.control.support import bundled_model, status, wait_for
from tests.e2e.stoker import COMMAND, Stoker, installed
from tests.launch.model_hub import COMMIT, TOKEN, ModelHub, serving

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


@pytest.mark.timeout(600)
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
    (kept,) = stoker.json("models", "ls")
    assert (kept["name"], kept["revision"], kept["variants"]) == ("org/SmolLM2-GGUF", COMMIT, ["demo/1"])
    assert (kept["size"], kept["needed"], kept["partial"]) == (bundled_model().stat().st_size, True, 0)
    refused = stoker.run("models", "rm", "org/SmolLM2-GGUF", "--yes", "--json", check=False)
    assert json.loads(refused.stderr)["error"]["code"] == "MODEL_IN_USE"

    stoker.json("stop", "demo", "--now", "--wait")
    (blob,) = (tmp_path / "hf").glob("hub/models--*/blobs/*")
    with blob.open("r+b") as file:
        file.write(bytes(1_000_000))
    stoker.json("start", "demo")
    wait_for(lambda: status(stoker.home) == "MUST_REDOWNLOAD", "the damage to be found")
    failure = stoker.json("ps")[0]["failure"]
    assert failure["code"] == "MODEL_LOAD_ERROR"
    assert f"{FILE} is damaged: its checksum" in failure["evidence"]
    assert stoker.json("fix", "demo", "1", "--wait")["status"] == "DEPLOYED"
    assert stoker.json("models", "verify")["ok"]


def test_a_pull_that_is_given_up_goes_on_the_next_time(stoker: Stoker, hub: ModelHub, tmp_path: Path) -> None:
    hub.hold = HELD
    hub.closed.add("org/SmolLM2-GGUF")
    stoker.env["HF_TOKEN"] = TOKEN
    words = [COMMAND, "models", "pull", "org/SmolLM2-GGUF:Q4_1"]
    with subprocess.Popen(words, env=stoker.env, stderr=subprocess.PIPE, text=True) as pull:
        wait_for(lambda: arrived(tmp_path) >= HELD - 1_000_000, "most of what the hub sends")
        pull.send_signal(signal.SIGINT)
        assert pull.stderr is not None
        assert "What has arrived is kept" in pull.stderr.read()
    assert pull.returncode == 130
    wait_for(lambda: jobs_of(stoker) == ["cancelled"], "the job to end")
    hub.held.set()
    pulled = stoker.json("models", "pull", "org/SmolLM2-GGUF:Q4_1")
    assert Path(pulled["path"]).read_bytes() == bundled_model().read_bytes()
    first, second = hub.ranges(FILE)
    assert (first, int(str(second).removeprefix("bytes=").removesuffix("-")) > 0) == (None, True)
    assert stoker.json("models", "ls")[0]["needed"] is False
    wait_for(lambda: not [*stoker.home.keys.glob("env-*")], "the token, which is kept for as long as its job, to go")
    assert TOKEN.encode() not in stoker.home.store.read_bytes()


def arrived(path: Path) -> int:
    """Bytes of files that have not arrived whole."""
    return sum(partial.stat().st_size for partial in path.rglob("*.incomplete"))


def jobs_of(stoker: Stoker) -> list[str]:
    with closing(connect_reader(stoker.home.store)) as connection:
        return [row["state"] for row in connection.execute("SELECT state FROM jobs ORDER BY id")]
