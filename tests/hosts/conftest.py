"""A driver for this process, made up by each test."""

from pathlib import Path

import pytest

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
