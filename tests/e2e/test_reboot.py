"""A reboot, told by the boot id: nothing is called a failure, and nothing starts again unless it may."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import openai
import pytest

from tests.control.support import engines, wait_for
from tests.e2e.stoker import Stoker, installed

EARLIER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        stoker.launch()
        yield stoker


def reboot(stoker: Stoker) -> None:
    """Leave everything as a machine does that went down without a word, in an earlier boot than this one."""
    keeper, gateway = stoker.keeper(), stoker.pid("gateway")
    stoker.run("down")
    stoker.hang_up()
    for pid in (gateway, keeper):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not engines(stoker.home), "the engine to go with its keeper")
    for path in stoker.home.attempts.glob("*/*.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"boot_id": EARLIER}))
    with closing(sqlite3.connect(stoker.home.store)) as connection:
        connection.execute("UPDATE lease SET boot_id = ?", (EARLIER,))
        connection.commit()


def test_after_a_reboot_nothing_starts_until_it_is_asked_to(stoker: Stoker) -> None:
    reboot(stoker)
    stoker.run("up")
    wait_for(lambda: stoker.json("ps")[0]["status"] == "STOPPED", "the reboot to be noticed")
    with pytest.raises(openai.InternalServerError) as caught:
        stoker.client().completions.create(model="demo", prompt="Hi")
    assert caught.value.code == "DEPLOYMENT_STOPPED"
    shown = stoker.json("show", "demo")
    (instance,) = shown["instances"]
    assert (shown["status"], shown["detail"], shown["failure"]) == ("STOPPED", "by shutdown", None)
    assert (instance["state"], instance["phase"], instance["attempt"]) == ("stopped", "by_shutdown", 1)
    assert "the machine went down" in [e["cause"] for e in stoker.json("events", "demo")]
    assert engines(stoker.home) == {}
    assert stoker.json("start", "demo", "--wait")["status"] == "DEPLOYED"
    assert stoker.json("show", "demo")["instances"][0]["attempt"] == 2


def test_after_a_reboot_everything_starts_again_if_it_may(stoker: Stoker) -> None:
    reboot(stoker)
    (stoker.home.config / "config.toml").write_text("[server]\nresume_after_reboot = true\n")
    stoker.run("up")
    wait_for(lambda: bool(engines(stoker.home)), "the engine to be started again")
    wait_for(lambda: stoker.json("ps")[0]["status"] == "DEPLOYED", "the deployment to serve again")
    assert stoker.answers()
