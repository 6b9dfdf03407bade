"""`status`, `up`, `down`: what is announced is told, and only the holder of the lock is ever signalled."""

import os
import sys
from typing import Any

import pytest

from app.processes import announce, down_marker, take_lock
from app.settings import Home
from app.store.migrate import schema_version
from app.store.write import Store
from app.version import __version__
from tests.cli.conftest import Stoker
from tests.cli.holder import holding
from tests.cli.rows import now_us

STATUS_KEYS = {"server", "pid", "since", "version", "gateway", "store"}


def test_status_of_nothing(stoker: Stoker, home: Home) -> None:
    document = stoker.json("status")
    assert set(document) == STATUS_KEYS
    assert (document["server"], document["pid"], document["store"]) == ("down", None, str(home.store))
    assert document["gateway"] == {"state": "down", "pid": None, "url": None}
    assert "○ down" in stoker("status").out
    assert not home.state.exists()


def test_status_of_what_runs(stoker: Stoker, home: Home, server: dict[str, Any]) -> None:
    with holding(home.gateway_lock, url="http://127.0.0.1:9") as gateway:
        document = stoker.json("status")
        assert (document["server"], document["version"], document["since"]) == ("running", __version__, server["since"])
        assert document["pid"] == os.getpid()
        assert document["gateway"] == {"state": "running", "pid": gateway.pid, "url": "http://127.0.0.1:9"}
        assert "● running" in stoker("status").out


def test_a_lock_without_an_announcement_is_a_start_under_way(stoker: Stoker, home: Home) -> None:
    home.make()
    home.server_lock.write_text('{"pid": 1, "version": "0.0.1"}')  # what the holder before it left
    lock = take_lock(home.server_lock)
    assert lock is not None
    try:
        assert stoker.json("status")["server"] == "starting"
    finally:
        os.close(lock)


def test_down_ends_the_server_and_says_it_was_meant(stoker: Stoker, home: Home) -> None:
    with holding(home.server_lock) as server, holding(home.gateway_lock, url="http://127.0.0.1:9") as gateway:
        document = stoker.json("down")
        assert server.wait(60) == 0
        assert (document["server"], document["gateway"]["state"]) == ("down", "running")
        assert down_marker(home).exists()
        assert stoker.json("down", "--all")["gateway"]["state"] == "down"
        assert gateway.wait(60) == 0


def test_down_twice_is_harmless(stoker: Stoker, home: Home) -> None:
    assert stoker.json("down")["server"] == "down"
    assert stoker.json("down", "--all")["server"] == "down"
    assert not home.state.exists()


def test_a_stranger_with_the_announced_pid_is_never_signalled(
    stoker: Stoker, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.daemon.END_WITHIN_S", 0.2)
    home.make()
    with holding(home.state / "elsewhere.lock") as stranger:
        lock = take_lock(home.server_lock)
        assert lock is not None
        try:
            announce(lock, {"pid": stranger.pid})
            result = stoker("down", "--json")
            assert (result.status, result.error["code"]) == (1, "SERVER_DOWN")
            assert f"pid {stranger.pid}" in result.error["message"]
            assert stranger.poll() is None
        finally:
            os.close(lock)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"version": "0.0.1", "schema": schema_version()}, "SERVER_OLDER"),
        ({"version": __version__, "schema": schema_version() - 1}, "SERVER_OLDER"),
        ({"version": "99.0.0", "schema": schema_version() + 1}, "STORE_NEWER"),
    ],
)
def test_a_server_of_another_version_takes_no_wishes(
    stoker: Stoker, home: Home, store: Store, facts: dict[str, Any], code: str
) -> None:
    lock = take_lock(home.server_lock)
    assert lock is not None
    try:
        announce(lock, {"pid": os.getpid(), "since": now_us(), **facts})
        for words in (["launch", "smollm2"], ["keys", "create"], ["up"]):
            result = stoker(*words, "--json")
            assert (result.status, result.error["code"]) == (1, code)
            assert result.error["remedy"]
        assert stoker.json("ps") == []
    finally:
        os.close(lock)


def test_a_unit_for_systemd(stoker: Stoker, home: Home) -> None:
    unit = stoker("up", "--systemd").out.splitlines()
    assert "KillMode=process" in unit
    assert f'ExecStart="{sys.executable}" -I -m app.cli serve' in unit
    assert f'Environment="STOKER_HOME={home.state}"' in unit
    assert not home.state.exists()


def test_a_config_that_is_wrong_is_said_before_anything_starts(stoker: Stoker, home: Home) -> None:
    home.make()
    (home.config / "config.toml").write_text("[edge]\nprot = 8400\n")
    result = stoker("up", "--json")
    assert (result.status, result.error["code"]) == (1, "CONFIG_INVALID")
    assert "edge.prot" in result.error["message"]
    assert "edge.port" in result.error["remedy"]
    assert not home.store.exists()
