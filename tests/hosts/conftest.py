"""A driver for this process and a host to reach by SSH, both made up by each test."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.sshd import Sshd, sshd
from tests.hosts.stub import VARIABLE, Driver, build, preload


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub, built once and loaded into this process."""
    library = build(tmp_path_factory.mktemp("nvml"))
    preload(library)
    return library


@pytest.fixture
def driver(nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """No driver, until the test says what it sees."""
    made = Driver(nvml_library, tmp_path / "nvml.txt")
    monkeypatch.setenv(VARIABLE, str(made.state))
    return made


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A host that this process reaches by SSH, under the name `gpubox`."""
    with sshd(tmp_path / "sshd") as running:
        monkeypatch.setenv("PATH", f"{running.wrapper}{os.pathsep}{os.environ['PATH']}")
        yield running


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="stk-") as path:
        yield Path(path)
