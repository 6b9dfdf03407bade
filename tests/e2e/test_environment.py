"""What reaches an engine and what does not: variables, their values, and the modules of wherever one stands."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from app.processes import holder
from tests.control.support import wait_for
from tests.e2e.stoker import COMMAND, Stoker, installed

SECRET = "a-value-that-nobody-else-has-7f3a"
"""Given by `--env`; long enough to be masked in logs."""


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    home = tmp_path_factory.mktemp("home")
    with installed(home) as stoker:
        (home / "config.toml").write_text('[server.env]\nFROM_CONFIG = "yes"\n')
        stoker.env |= {"FROM_SHELL": "yes", "HF_TOKEN": "hf_" + "s" * 34}
        stoker.launch("demo", "--env", f"FROM_LAUNCH={SECRET}")
        yield stoker


def test_the_engine_gets_what_was_given_and_nothing_of_the_shell(stoker: Stoker) -> None:
    for pid in (stoker.pid("server"), stoker.pid("gateway"), stoker.engine()):
        found = psutil.Process(pid).environ()
        assert found["FROM_CONFIG"] == "yes"
        assert "FROM_SHELL" not in found and "HF_TOKEN" not in found
    assert psutil.Process(stoker.engine()).environ()["FROM_LAUNCH"] == SECRET
    assert "FROM_LAUNCH" not in psutil.Process(stoker.pid("server")).environ()


def test_daemons_stand_nowhere_and_keep_their_files_to_themselves(stoker: Stoker) -> None:
    for pid in (stoker.pid("server"), stoker.pid("gateway")):
        process = psutil.Process(pid)
        assert process.cwd() == "/"
        assert not process.terminal()
    loose = [
        str(path)
        for path in stoker.home.state.rglob("*")
        if path.name != "config.toml" and not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert loose == []


def test_secrets_are_in_no_command_line_no_log_and_no_row(stoker: Stoker) -> None:
    key = stoker.json("keys", "create")["key"]
    assert stoker.answers()
    (attempt,) = stoker.home.attempts.iterdir()
    engine_key = (attempt / "key").read_text()
    secrets = [SECRET.encode(), key.encode(), engine_key.encode(), (b"hf_" + b"s" * 34)]
    for process in psutil.process_iter():
        line = command_line(process)
        assert not any(secret in line for secret in secrets), f"in the command line of {process.pid}"
    with closing(sqlite3.connect(stoker.home.store)) as connection:
        connection.execute("PRAGMA wal_checkpoint")
    allowed = {attempt / "key", *stoker.home.keys.iterdir()}
    searched = [path for path in stoker.home.state.rglob("*") if path.is_file() and path not in allowed]
    assert {stoker.home.store, stoker.home.server_log, attempt / "head.log", attempt / "spec.json"} <= set(searched)
    for path in searched:
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets), f"in {path}"
    (kept,) = stoker.home.keys.glob("env-*.json")
    assert json.loads(kept.read_text()) == {"FROM_LAUNCH": SECRET}


def test_variables_are_named_and_carried_over_by_a_change(stoker: Stoker) -> None:
    stoker.launch("other", "--env", f"FROM_LAUNCH={SECRET}", "--env", "OTHER=1")
    stoker.run("change", "other", "--env", "OTHER=2", "--wait")
    shown = stoker.json("show", "other")
    assert [v["env_names"] for v in shown["variants"]] == [["FROM_LAUNCH", "OTHER"]] * 2
    assert SECRET not in json.dumps(shown)
    (engine,) = [i["pid"] for i in shown["instances"]]
    found = psutil.Process(engine).environ()
    assert (found["FROM_LAUNCH"], found["OTHER"]) == (SECRET, "2")
    stoker.run("rm", "other", "--yes", "--wait")


def test_a_directory_with_modules_of_our_names_misleads_nobody(tmp_path: Path) -> None:
    """Everything is started by a command that was run where `app`, `backends` and `assets` lie about."""
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\nraise SystemExit(66)\n"
    trapped = tmp_path / "trapped"
    for name in ("app/__init__.py", "assets/__init__.py", "backends.py", "widgets.py", "json.py", "xllamacpp.py"):
        (trapped / name).parent.mkdir(parents=True, exist_ok=True)
        (trapped / name).write_text(trap)
    (trapped / "assets" / "engines.toml").write_text("this is no TOML")
    with installed(tmp_path / "home") as stoker:

        def run_there(*words: str) -> None:
            subprocess.run([COMMAND, *words], env=stoker.env, cwd=trapped, check=True, capture_output=True, timeout=120)

        run_there("launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1", "--wait")
        assert stoker.answers()
        os.kill(stoker.pid("gateway"), signal.SIGKILL)
        wait_for(lambda: bool((holder(stoker.home.gateway_lock) or {}).get("url")), "another gateway")
        run_there("down")
        run_there("up")
        run_there("doctor")
    assert not (tmp_path / "sprung").exists()


def command_line(process: psutil.Process) -> bytes:
    try:
        return " ".join(process.cmdline()).encode()
    except psutil.Error:
        return b""
