"""Engines that will not stay up, for real: what is tried again, how often, when next, and what is not."""

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from tests.control.support import bundled_model, wait_for
from tests.e2e.stoker import Stoker, installed

CODE = {
    "silent": "import sys; print('going down'); sys.exit(3)",
    "killed": "import os; os.kill(os.getpid(), 9)",
}
"""What becomes of an engine: it ends without a word, or is killed from outside."""


def presets() -> str:
    """An `engines.toml` with an engine for each, like llama.cpp but for what is run."""
    shipped = tomlkit.parse((resources.files("assets") / "engines.toml").read_text("utf-8"))["llama.cpp"]
    tables = {
        name: {**shipped.unwrap(), "command": ["{python}", "-c", code], "arguments": ["{model}"], "owned": []}
        for name, code in CODE.items()
    }
    return tomlkit.dumps(tables)


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    """One installation with two engines of its own."""
    path = tmp_path_factory.mktemp("home")
    (path / "engines.toml").write_text(presets())
    with installed(path) as stoker:
        yield stoker


def row(stoker: Stoker, name: str) -> Any:
    return next(each for each in stoker.json("ps") if each["name"] == name)


def starts(stoker: Stoker, name: str) -> list[str]:
    """Why each attempt was begun."""
    return [event["cause"] for event in stoker.json("events", name) if event["to"] == "pending/allocating"]


def test_what_ends_without_a_word_is_tried_once_more(stoker: Stoker) -> None:
    stoker.run("launch", str(bundled_model()), "--name", "silent", "--engine", "silent")
    wait_for(lambda: row(stoker, "silent")["status"] == "FAILED", "the second failure")
    failure = row(stoker, "silent")["failure"]
    assert (failure["code"], failure["retry_at"]) == ("CONTAINER_EXITED", None)
    assert starts(stoker, "silent") == ["wished to run", "retry after CONTAINER_EXITED"]
    assert stoker.json("fix", "silent")["fixes"][0]["title"] == "start again"


def test_what_is_killed_is_tried_at_once_and_then_later_and_says_when(stoker: Stoker) -> None:
    stoker.run("launch", str(bundled_model()), "--name", "killed", "--engine", "killed")
    wait_for(lambda: (row(stoker, "killed")["failure"] or {"retry_at": 0})["retry_at"] not in (None, 0), "a failure")
    wait_for(lambda: len(starts(stoker, "killed")) >= 2, "the attempt that is made at once")
    found: list[Any] = []

    def waits() -> bool:
        found.append(row(stoker, "killed"))
        failure = found[-1]["failure"]
        return bool(failure and failure["retry_at"] and failure["retry_at"] - failure["at"] >= 10_000_000)

    wait_for(waits, "a retry that is not made at once")
    failure = found[-1]["failure"]
    assert (found[-1]["status"], failure["code"]) == ("ERROR", "KILLED_EXTERNALLY")
    assert failure["retry_at"] - failure["at"] in (10_000_000, 20_000_000, 40_000_000)
    assert "SIGKILL" in failure["evidence"]
    before = len(starts(stoker, "killed"))
    assert stoker.json("fix", "killed")["fixes"][0]["title"] == "try again now"
    stoker.run("fix", "killed", "1")
    wait_for(lambda: len(starts(stoker, "killed")) > before, "an attempt that does not wait")
    assert "asked to start" in starts(stoker, "killed")
    stoker.run("stop", "killed", "--wait")


def test_what_needs_a_change_is_not_tried_again(stoker: Stoker, tmp_path: Path) -> None:
    shutil.copy(bundled_model(), tmp_path / "model.gguf")
    words = ("--ctx", "256", "--seqs", "1", "--set", "thread=1", "--wait")
    assert stoker.run("launch", str(tmp_path / "model.gguf"), "--name", "flag", *words, check=False).returncode == 1
    assert row(stoker, "flag")["failure"]["retry_at"] is None
    assert starts(stoker, "flag") == ["wished to run"]
