"""Launches that cannot work: each ends at once with its code, the engine's own line and a remedy."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control.support import bundled_model, look_for, wait_for
from tests.e2e.stoker import Stoker, installed


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    """One installation for all of them: what failed stays, and is in nobody's way."""
    with installed(tmp_path_factory.mktemp("home")) as stoker:
        yield stoker


def refused(stoker: Stoker, *words: str) -> dict[str, str]:
    """The error of a launch that must fail."""
    done = stoker.run("launch", *words, "--ctx", "256", "--seqs", "1", "--wait", "--json", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    error: dict[str, str] = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["remedy"]
    return error


def test_a_truncated_file(stoker: Stoker, tmp_path: Path) -> None:
    with bundled_model().open("rb") as file:
        (tmp_path / "cut.gguf").write_bytes(file.read(5_000_000))
    error = refused(stoker, str(tmp_path / "cut.gguf"))
    assert error["code"] == "MODEL_LOAD_ERROR"
    assert "not within the file bounds" in error["message"]


def test_an_architecture_that_the_engine_does_not_know(stoker: Stoker, tmp_path: Path) -> None:
    content = bytearray(bundled_model().read_bytes())
    at = content.index(b"llama", content.index(b"general.architecture"))
    content[at : at + 5] = b"lamma"
    (tmp_path / "strange.gguf").write_bytes(content)
    error = refused(stoker, str(tmp_path / "strange.gguf"))
    assert error["code"] == "ARCH_UNSUPPORTED"
    assert "'lamma'" in error["message"]


def test_a_flag_that_the_engine_does_not_know(stoker: Stoker) -> None:
    error = refused(stoker, "smollm2", "--set", "thread=2", "--name", "flag")
    assert error["code"] == "BAD_FLAG"
    assert "--thread" in error["message"]
    assert "stoker change flag" in error["remedy"]
    shown = stoker.json("show", "flag")
    assert shown["status"] == "FAILED"
    assert shown["failure"]["code"] == "BAD_FLAG"
    assert "--thread" in stoker.run("logs", "flag").stdout
    mended = stoker.json("change", "flag", "--set", "thread=", "--set", "threads=1", "--wait")
    assert mended["status"] == "DEPLOYED"
    stoker.run("stop", "flag", "--wait")


def test_a_port_that_is_taken(stoker: Stoker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = refused(stoker, "smollm2", "--set", f"port={taken.getsockname()[1]}")
    assert error["code"] == "PORT_IN_USE"
    assert "couldn't bind" in error["message"]


def test_a_memory_limit_that_is_too_tight(stoker: Stoker) -> None:
    error = refused(stoker, "smollm2", "--memory", "320M")
    assert error["code"] == "HOST_OOM"
    assert "allocate memory" in error["message"]


def test_a_file_that_vanishes(stoker: Stoker, tmp_path: Path) -> None:
    path = tmp_path / "here.gguf"
    path.symlink_to(bundled_model())
    stoker.json("launch", str(path), "--name", "gone", "--ctx", "256", "--seqs", "1", "--wait")
    path.unlink()
    stopped = stoker.run("restart", "gone", "--wait", "--json", check=False)
    error = json.loads(stopped.stderr.splitlines()[-1])["error"]
    assert (stopped.returncode, error["code"]) == (1, "MUST_REDOWNLOAD")
    assert next(row for row in stoker.json("ps") if row["name"] == "gone")["status"] == "MUST_REDOWNLOAD"
    path.symlink_to(bundled_model())
    assert stoker.json("start", "gone", "--wait")["failure"] is None
    stoker.run("stop", "gone", "--wait")


def test_a_path_that_leads_nowhere(stoker: Stoker, tmp_path: Path) -> None:
    error = refused(stoker, str(tmp_path / "nowhere.gguf"))
    assert error["code"] == "MODEL_NOT_FOUND"
    assert "nowhere.gguf" in error["message"]


def test_a_file_that_is_cut_within_its_header(stoker: Stoker, tmp_path: Path) -> None:
    with bundled_model().open("rb") as file:
        (tmp_path / "head.gguf").write_bytes(file.read(200_000))
    error = refused(stoker, str(tmp_path / "head.gguf"))
    assert error["code"] == "MODEL_LOAD_ERROR"
    assert "failed to read key-value pairs" in error["message"]


def test_a_failure_is_the_same_wherever_it_is_shown(stoker: Stoker) -> None:
    error = refused(stoker, "smollm2", "--set", "n-gpu-layers=lots", "--name", "lots")
    shown = stoker.json("show", "lots")
    (instance,) = shown["instances"]
    failure = shown["failure"]
    assert failure == instance["failure_reason"] == row_of(stoker, "lots")["failure"]
    assert (instance["state"], instance["phase"], instance["attempt"]) == ("failed", "failed", 1)
    assert (failure["code"], failure["remedy"], failure["retry_at"]) == ("BAD_FLAG", error["remedy"], None)
    assert failure["evidence"] in error["message"]
    events = stoker.json("events", "lots")
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    assert [e["to"] for e in events if e["subject"] == "lots"][-1] == "FAILED"
    (last,) = [e for e in events if e["to"] == "failed/failed"]
    assert (last["cause"], last["detail"], last["actor"]) == ("BAD_FLAG", failure["evidence"], "server")


def test_what_was_recognised_is_kept_and_a_scan_of_the_log_says_the_same(stoker: Stoker, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(bundled_model().read_bytes()[:5_000_000])
    refused(stoker, str(tmp_path / "cut.gguf"), "--name", "cut")
    shown = stoker.run("logs", "cut", "--findings").stdout
    (attempt,) = (a for a in stoker.home.attempts.iterdir() if b"cut.gguf" in (a / "head.log").read_bytes())
    log = attempt / "head.log"
    verdict = stoker.json("scan", str(log), "--exit-code", "1")
    told = log.read_text().splitlines()[verdict["line"] - 1]
    assert (verdict["code"], "not within the file bounds" in told) == ("MODEL_LOAD_ERROR", True)
    assert f"{verdict['line']:,}  ✖ MODEL_LOAD_ERROR" in shown
    assert "◔ reading the weights" in shown
    assert verdict["evidence"] == stoker.json("show", "cut")["failure"]["evidence"]


def test_an_engine_that_is_killed_is_started_again_and_then_with_a_pause(stoker: Stoker) -> None:
    stoker.launch("victim")
    kill(stoker, "victim")
    wait_for(lambda: row_of(stoker, "victim")["status"] == "DEPLOYED" and attempt(stoker, "victim") == 2, "a restart")
    kill(stoker, "victim")
    row = look_for(
        lambda: row_of(stoker, "victim"), lambda row: row["status"] == "ERROR", "a pause before the next one"
    )
    failure = row["failure"]
    assert failure["code"] == "KILLED_EXTERNALLY"
    assert "SIGKILL" in failure["evidence"]
    assert failure["retry_at"] == failure["at"] + 10_000_000
    assert stoker.json("start", "victim", "--wait")["status"] == "DEPLOYED", "whoever asks need not wait"
    stoker.run("stop", "victim", "--wait")


def row_of(stoker: Stoker, name: str) -> Any:
    return next(row for row in stoker.json("ps") if row["name"] == name)


def attempt(stoker: Stoker, name: str) -> int:
    number: int = stoker.json("show", name)["instances"][0]["attempt"]
    return number


def kill(stoker: Stoker, name: str) -> None:
    os.kill(stoker.json("show", name)["instances"][0]["pid"], signal.SIGKILL)
