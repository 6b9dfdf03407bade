"""A home that is deleted under running daemons: they end, and do not multiply."""

import os
import shutil
from pathlib import Path

import psutil

from tests.control.support import wait_for
from tests.e2e.stoker import Stoker


def test_daemons_end_when_their_home_is_deleted(tmp_path: Path) -> None:
    stoker = Stoker(tmp_path / "home")
    stoker.run("up")
    daemons = [psutil.Process(stoker.pid(name)) for name in ("server", "gateway")]
    try:
        (tmp_path / "home").rename(tmp_path / "gone")
        wait_for(lambda: not any(_runs(process) for process in daemons), "both daemons to end")
        assert not _daemons_of(stoker), "one started another on its way out"
    finally:
        for process in (*daemons, *_daemons_of(stoker)):
            if _runs(process):
                os.kill(process.pid, 9)
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def _daemons_of(stoker: Stoker) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STOKER_HOME") == str(stoker.home.state) and _runs(process):
                found.append(process)
        except psutil.Error:
            continue
    return found
