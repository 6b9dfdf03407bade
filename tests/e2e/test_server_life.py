"""The server's life: one at a time, whoever starts it; it comes and goes, and what serves goes on serving."""

import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from app.processes import down_marker, holder
from tests.control.support import engines, wait_for
from tests.e2e.stoker import COMMAND, Stoker, installed


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    with installed(tmp_path_factory.mktemp("home")) as stoker:
        stoker.launch()
        yield stoker


@pytest.fixture(autouse=True)
def engine(stoker: Stoker) -> Iterator[int]:
    """The engine that serves throughout: no test of this file may cost it its life, or its readiness."""
    before = stoker.engine()
    stoker.run("up")
    assert stoker.answers()
    yield before
    assert stoker.answers()
    assert stoker.engine() == before
    assert len([e for e in stoker.json("events", "demo") if e["to"] == "running/serving"]) == 1


def test_hanging_up_ends_nothing(stoker: Stoker) -> None:
    """A SIGHUP is what everything gets that a dropped connection takes along."""
    before = (stoker.pid("server"), stoker.pid("gateway"), stoker.keeper())
    for pid in before:
        os.kill(pid, signal.SIGHUP)
    assert stoker.answers()
    stoker.run("keys", "create")
    assert (stoker.pid("server"), stoker.pid("gateway"), stoker.keeper()) == before


def test_four_at_once_start_one_server(stoker: Stoker) -> None:
    stoker.run("down")
    starts = [
        subprocess.Popen([COMMAND, "up"], env=stoker.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(start.communicate(timeout=60), start.returncode) for start in starts]
    assert [status for _, status in ends] == [0] * 4, ends
    wait_for(lambda: servers_of(stoker) == [stoker.pid("server")], "the others to leave")


def test_a_second_server_that_was_not_asked_for_leaves(stoker: Stoker) -> None:
    before = stoker.pid("server")
    assert run_server(stoker) == 0
    assert (stoker.pid("server"), servers_of(stoker)) == (before, [before])


def test_a_server_that_comes_late_does_not_undo_a_down(stoker: Stoker) -> None:
    stoker.run("down")
    assert down_marker(stoker.home).exists()
    assert run_server(stoker) == 0
    assert stoker.json("status")["server"] == "down"


def test_an_explicit_server_waits_and_takes_over(stoker: Stoker) -> None:
    before = stoker.pid("server")
    with subprocess.Popen([COMMAND, "serve"], env=stoker.env, stderr=subprocess.DEVNULL) as waiting:
        wait_for(lambda: has_open(waiting.pid, stoker.home.server_lock), "the second server to wait")
        assert stoker.pid("server") == before
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: stoker.pid("server") == waiting.pid, "the second server to take over")
        wait_for(lambda: stoker.json("status")["server"] == "running", "it to announce itself")
        waiting.terminate()
        assert waiting.wait(30) == 0


def test_down_leaves_the_rest_running_until_something_is_asked(stoker: Stoker) -> None:
    gateway = stoker.pid("gateway")
    down = stoker.json("down")
    assert (down["server"], down["gateway"]["pid"]) == ("down", gateway)
    for _ in range(3):
        assert stoker.answers()
    assert stoker.json("ps")[0]["status"] == "DEPLOYED"
    assert stoker.json("status")["server"] == "down", "the gateway must not undo a `down`"
    stoker.run("keys", "create")
    assert stoker.json("status")["server"] == "running"
    assert stoker.pid("gateway") == gateway


def test_a_broken_setting_keeps_the_gateway_down_and_not_the_server(stoker: Stoker) -> None:
    server, gateway, config = stoker.pid("server"), stoker.pid("gateway"), stoker.home.config / "config.toml"
    config.write_text("[edge]\nprot = 8400\n")
    os.kill(gateway, signal.SIGKILL)
    stoker.hang_up()
    try:
        wait_for(lambda: "unknown key `edge.prot`" in stoker.log(), "the server to say why")
    finally:
        config.unlink()
    wait_for(lambda: stoker.json("status")["gateway"]["state"] == "running", "another gateway")
    assert stoker.pid("server") == server


def test_a_store_of_a_newer_version_is_left_alone(stoker: Stoker) -> None:
    stoker.run("down")
    version = set_version(stoker, 99)
    try:
        refused = stoker.run("up", "--json", check=False)
        assert (refused.returncode, '"STORE_NEWER"' in refused.stderr) == (1, True)
        serving = stoker.run("serve", check=False)
        assert (serving.returncode, "STORE_NEWER" in serving.stderr) == (1, True)
    finally:
        set_version(stoker, version)


def test_closing_the_terminal_of_a_launch_stops_nothing(tmp_path: Path) -> None:
    """The server, the gateway and the engine are started by a command whose terminal goes away."""
    with installed(tmp_path) as other:
        words = ["launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1", "--wait"]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(COMMAND, [COMMAND, *words], other.env)  # noqa: S606 # no shell is wanted
        wait_for(lambda: bool(engines(other.home)), "the engine to start")
        os.close(terminal)
        os.waitpid(pid, 0)
        wait_for(lambda: other.json("ps")[0]["status"] == "DEPLOYED", "the launch to go on")
        assert other.answers()
        starts = [e for e in other.json("events", "demo") if e["to"] == "pending/starting"]
        assert len(starts) == 1


def run_server(stoker: Stoker) -> int:
    """Start a server as a console does; its exit status."""
    done = subprocess.run([sys.executable, "-I", "-m", "app.control"], env=stoker.env, timeout=60, check=False)
    return done.returncode


def servers_of(stoker: Stoker) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("STOKER_HOME") == str(stoker.home.state)
            if ours and "app.control" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def has_open(pid: int, path: Path) -> bool:
    return any(file.path == str(path) for file in psutil.Process(pid).open_files())


def set_version(stoker: Stoker, version: int) -> int:
    """Have the store say that it is of schema `version`; what it said before."""
    assert holder(stoker.home.server_lock) is None
    with closing(sqlite3.connect(stoker.home.store)) as connection:
        before: int = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {version}")
    return before
