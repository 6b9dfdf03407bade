"""`scan`: any log, from a file, a pipe or a .gz."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Stoker

LOG = (
    "vLLM API server version 0.10.2\n"
    "(EngineCore_DP0 pid=5) ERROR 01-01 00:00:00 [core.py:7] torch.OutOfMemoryError: CUDA out of memory.\n"
    "RuntimeError: Engine core initialization failed. See root cause above.\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "engine.log").write_text(LOG)
    return tmp_path / "engine.log"


def test_a_document(stoker: Stoker, log: Path) -> None:
    document = stoker("scan", str(log), "--json").document
    assert set(document) == {"code", "line", "evidence", "findings"}
    assert (document["code"], document["line"]) == ("OOM_KILLED", 2)
    assert document["evidence"] == "torch.OutOfMemoryError: CUDA out of memory."
    told = [(f["kind"], f["code"], f["line"]) for f in document["findings"]]
    assert told == [("milestone", "start", 1), ("failure", "OOM_KILLED", 2), ("failure", "RUNTIME_ERROR", 3)]


def test_for_a_person(stoker: Stoker, log: Path) -> None:
    result = stoker("scan", str(log))
    assert result.status == 0
    assert "✖ OOM_KILLED in line 2: The engine needs more GPU memory than there is." in result.out
    assert "smaller quantisation" in result.out


def test_a_compressed_one(stoker: Stoker, tmp_path: Path) -> None:
    packed = tmp_path / "engine.log.gz"
    packed.write_bytes(gzip.compress(LOG.encode()))
    assert stoker("scan", str(packed), "--json").document["code"] == "OOM_KILLED"
    packed.write_bytes(gzip.compress(LOG.encode())[:-12])
    assert stoker("scan", str(packed), "--json").error["code"] == "INVALID_REQUEST"


def test_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "scan", "-", "--json"],
        input=LOG.encode(), capture_output=True, env={"STOKER_HOME": str(tmp_path)}, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["line"] == 2


def test_how_it_ended_takes_part(stoker: Stoker, tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.log"
    quiet.write_text("INFO all is well\n")
    assert stoker("scan", str(quiet), "--json").document["code"] is None
    assert "No failure in 1 line." in stoker("scan", str(quiet)).out
    assert stoker("scan", str(quiet), "--exit-code", "0", "--json").document["code"] is None
    killed = stoker("scan", str(quiet), "--exit-code", "137", "--json").document
    assert (killed["code"], killed["line"]) == ("KILLED_EXTERNALLY", None)
    assert stoker("scan", str(quiet), "--exit-code", "3", "--json").document["evidence"].endswith("INFO all is well")


def test_what_cannot_be_read(stoker: Stoker, tmp_path: Path) -> None:
    result = stoker("scan", str(tmp_path / "nowhere"), "--json")
    assert (result.status, result.error["code"]) == (1, "NOT_FOUND")
    assert stoker("scan", str(tmp_path), "--json").error["code"] == "NOT_FOUND"
    assert stoker("scan").status == 2
