"""A start that stands still: given up in time, with what it was at; and findings that outlast the server."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control.support import engines, wait_for
from tests.e2e.stoker import Stoker, installed


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


def freeze_a_start(stoker: Stoker) -> Any:
    """Launch, stop the engine with SIGSTOP before it is ready, and wait for the end of it: the failure."""
    stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1")
    frozen: set[int] = set()
    while True:
        wait_for(lambda: bool(engines(stoker.home).keys() - frozen), "an engine")
        (engine,) = engines(stoker.home).keys() - frozen
        os.kill(engine, signal.SIGSTOP)
        wait_for(lambda: stoker.json("ps")[0]["status"] in ("FAILED", "DEPLOYED"), "an end of it")
        row = stoker.json("ps")[0]
        if row["status"] == "FAILED":
            return row["failure"]
        frozen.add(engine)
        os.kill(engine, signal.SIGKILL)  # it was ready before it could be stopped: the next start, then


def configure(stoker: Stoker, **seconds: float) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in seconds.items())
    (stoker.home.config / "config.toml").write_text(f"[server]\n{text}")


def test_a_start_that_stands_still_is_given_up(stoker: Stoker) -> None:
    configure(stoker, start_stall=2.0)
    failure = freeze_a_start(stoker)
    assert (failure["code"], failure["retry_at"]) == ("STARTUP_TIMEOUT", None)
    assert "no line, no byte and no memory taken for" in failure["evidence"]
    assert " UTC" in failure["evidence"]
    wait_for(lambda: not engines(stoker.home), "its end, though it does not listen to SIGTERM")


def test_no_start_takes_longer_than_the_ceiling(stoker: Stoker) -> None:
    configure(stoker, start_ceiling=1.0)
    failure = freeze_a_start(stoker)
    assert failure["code"] == "STARTUP_TIMEOUT"
    assert "s after its start at" in failure["evidence"]
    assert time.time_ns() // 1_000 - failure["at"] < 60_000_000
