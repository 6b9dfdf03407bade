"""A home of its own for every test, the command run in this process, and a server as far as commands can tell."""

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.boot import boot_id, boot_us
from app.cli.main import main
from app.processes import announce, take_lock
from app.settings import Home
from app.store.migrate import migrate, schema_version
from app.store.write import Store, acquire_lease
from app.version import __version__
from tests.hosts.stub import VARIABLE, Driver, build, preload

_FRESH_US = 3_600_000_000
"""The beat of the test's server lies ahead, so that it stays fresh however slow the machine is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The JSON error on stderr."""
        found: dict[str, str] = json.loads(self.err.splitlines()[-1])["error"]
        assert set(found) == {"code", "message", "remedy"}
        return found


class Stoker:
    """Runs commands on one home, in this process."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str, stdin: str = "") -> Result:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        status = main(list(words))
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return Result(status, out, err)

    def json(self, *words: str) -> Any:
        """The document of a command that must succeed."""
        result = self(*words, "--json")
        assert result.status == 0, result.err
        return result.document


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home without anything in it; not even the directory exists."""
    path = tmp_path / "home"
    monkeypatch.setenv("STOKER_HOME", str(path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no test depends on a network
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}/docker.sock")
    return Home(path, path)


@pytest.fixture
def stoker(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stoker:
    return Stoker(home, monkeypatch, capsys)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    """An empty store in the home."""
    home.make()
    migrate(home.store, home.backups)
    store = Store(home.store)
    yield store
    store.close()


@pytest.fixture
def server(home: Home, store: Store) -> Iterator[dict[str, Any]]:
    """The lock and the lease of a running server, held by this test: commands write, and nobody acts on it."""
    lock = take_lock(home.server_lock)
    assert lock is not None
    facts = {"pid": os.getpid(), "version": __version__, "schema": schema_version(), "since": time.time_ns() // 1_000}
    announce(lock, facts)
    acquire_lease(store, str(os.getpid()), boot_id(), boot_us() + _FRESH_US)
    yield facts
    os.close(lock)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """NVIDIA's library, as this test says what it tells."""
    library = build(tmp_path)
    preload(library)
    made = Driver(library, tmp_path / "nvml.txt")
    monkeypatch.setenv(VARIABLE, str(made.state))
    return made
