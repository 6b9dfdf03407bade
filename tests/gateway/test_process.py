"""The gateway as a process: its lock, its port, its end, and the server it brings back."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import psutil
import pytest

from app import processes
from tests.gateway.conftest import Edge
from tests.gateway.process import Gateway, wait_for
from tests.gateway.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def run(home: Path) -> "subprocess.CompletedProcess[str]":
    """A gateway that should end by itself."""
    return subprocess.run(
        [sys.executable, "-I", "-m", "app.gateway"],
        env={"PATH": os.environ["PATH"], "STOKER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_where_it_listens(own_edge: Edge) -> None:
    facts = processes.holder(own_edge.store.home.gateway_lock)
    assert facts is not None
    assert facts["pid"] == own_edge.gateway.process.pid
    assert facts["url"] == f"http://{facts['host']}:{facts['port']}"
    assert facts.keys() == {"pid", "url", "host", "port", "version", "started_at"}


def test_a_second_one_leaves_quietly(own_edge: Edge) -> None:
    done = run(own_edge.store.home.state)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert own_edge.post().status_code == 200


def test_a_taken_port_is_said_in_one_line(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (store.home.config / "config.toml").write_text(f"[edge]\nport = {port}\n")
        done = run(store.home.state)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"stoker: PORT_IN_USE: Port {port} is taken. Set another `edge.port`, or 0 for the next free one.\n"
    )


def test_a_wrong_setting_is_said_in_one_line(store: Store) -> None:
    (store.home.config / "config.toml").write_text("[edge]\nprot = 1\n")
    done = run(store.home.state)
    assert done.returncode == 1
    assert done.stderr == "stoker: CONFIG_INVALID: config.toml: unknown key `edge.prot`. Did you mean `edge.port`?\n"


def test_a_configured_port_is_used(store: Store) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = Gateway(store.home, f"[edge]\nport = {port}\n")
    try:
        assert gateway.url == f"http://127.0.0.1:{port}"
    finally:
        gateway.close()


def test_before_there_is_a_store_it_says_so_and_then_serves(store: Store) -> None:
    gateway = Gateway(store.home)
    try:
        early = httpx2.get(f"{gateway.url}/v1/models", headers={"Authorization": "Bearer x"})
        assert (early.status_code, early.json()["error"]["code"]) == (503, "NO_CAPACITY")
        assert early.headers["retry-after"] == "2"
        assert httpx2.get(f"{gateway.url}/healthz").status_code == 200
        key = store.create().key()
        headers = {"Authorization": f"Bearer {key.text}"}
        wait_for(lambda: httpx2.get(f"{gateway.url}/v1/models", headers=headers).status_code == 200)
    finally:
        gateway.close()


def test_a_store_put_back_from_a_backup_is_read_anew(own_edge: Edge, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy").create()
    key = copy.key()
    for suffix in ("-wal", "-shm"):
        own_edge.store.home.store.with_name(f"stoker.db{suffix}").unlink(missing_ok=True)
    copy.home.store.replace(own_edge.store.home.store)
    headers = {"Authorization": f"Bearer {key.text}"}
    wait_for(lambda: own_edge.get("/v1/models", headers).status_code == 200)


def test_told_to_end_it_lets_requests_in_flight_finish(own_edge: Edge) -> None:
    with ThreadPoolExecutor(1) as executor:
        held = executor.submit(own_edge.post, user="wait")
        wait_for(lambda: own_edge.engine.seen["active"] == 1)
        own_edge.gateway.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(own_edge))
        own_edge.engine.gate.set()
        assert held.result().status_code == 200
    assert own_edge.gateway.process.wait(30) == 0
    assert [row["status"] for row in own_edge.store.requests()] == [200]


def test_told_twice_it_breaks_off_what_is_left(own_edge: Edge) -> None:
    with ThreadPoolExecutor(1) as executor:
        held = executor.submit(own_edge.post, user="silence")
        wait_for(lambda: own_edge.engine.seen["active"] == 1)
        own_edge.gateway.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(own_edge))
        own_edge.gateway.process.send_signal(signal.SIGINT)
        response = held.result()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "NO_CAPACITY")
    assert own_edge.gateway.process.wait(30) == 0
    assert [(row["status"], row["code"], row["estimated"]) for row in own_edge.store.requests()] == [
        (500, "UPSTREAM_FAILED", 1)
    ]


def test_it_ends_with_its_home(own_edge: Edge) -> None:
    shutil.rmtree(own_edge.store.home.state)
    assert own_edge.gateway.process.wait(30) == 0
    assert not own_edge.store.home.state.exists()


def listens(edge: Edge) -> bool:
    host, _, port = edge.gateway.url.removeprefix("http://").partition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = "import sys, app.gateway.__main__; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd="/"
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "sqlmodel",
        "sqlalchemy",
        "httpx",
        "httpx2",
        "pydantic",
        "textual",
        "docker",
        "backends",
    }


@pytest.fixture
def server_processes(store: Store) -> Iterator[list[psutil.Process]]:
    """Servers that were started for this home; they are ended afterwards."""
    found: list[psutil.Process] = []
    yield found
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("STOKER_HOME") == str(store.home.state) and process.pid != os.getpid():
            process.kill()
            process.wait(30)


def test_a_server_that_is_gone_is_started_unless_it_was_taken_down(
    store: Store, server_processes: list[psutil.Process]
) -> None:
    marker = processes.down_marker(store.home)
    marker.touch()
    gateway = Gateway(store.home, hold_server_lock=False)
    try:
        assert not store.home.server_log.exists()
        marker.unlink()
        wait_for(lambda: "No server runs" in gateway.log())
        wait_for(store.home.server_log.exists)
        assert gateway.log().count("No server runs") == 1
    finally:
        gateway.close()
