"""Launches that cannot work: each ends at once with its code, the engine's own line and a remedy."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.support import bundled_model
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
