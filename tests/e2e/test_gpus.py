"""GPUs as their operator sees them: real server, commands and terminal on a stub of the driver; a stranger comes by."""

import getpass
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.stoker import Stoker, installed
from tests.e2e.terminal import Terminal, needs_tmux
from tests.hosts.stub import H100, L40S, Driver, build

GIB = 1 << 30


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(build(tmp_path), tmp_path / "nvml.txt")


@pytest.fixture
def stoker(tmp_path: Path, driver: Driver) -> Iterator[Stoker]:
    """An installation whose server and commands meet the stub."""
    with installed(tmp_path / "home") as stoker:
        stoker.home.make()
        lines = [f"{name} = '{value}'" for name, value in driver.environment.items()]
        (stoker.home.config / "config.toml").write_text("\n".join(("[server.env]", *lines)))
        stoker.env |= driver.environment
        yield stoker


@needs_tmux
@pytest.mark.timeout(600)
def test_a_stranger_with_two_gibibytes_is_named_here_and_there(stoker: Stoker, driver: Driver) -> None:
    driver.set(H100, L40S)
    stoker.launch()
    engine, user = stoker.engine(), getpass.getuser()
    with subprocess.Popen([sys.executable, "-c", "input()", "train.py"], stdin=subprocess.PIPE) as stranger:
        try:
            driver.set(H100, L40S, f"holder 0 {engine} 80000", f"holder 1 {stranger.pid} 2048")
            first, second = stoker.json("gpus")
            assert [h["deployment"] for h in first["holders"]] == ["demo"]
            (holder,) = second["holders"]
            assert (holder["pid"], holder["user"], holder["bytes"]) == (stranger.pid, user, 2 * GIB)
            with closing(Terminal(stoker)) as terminal:
                terminal.shows("92%  71°C", "demo-a")
                terminal.keys("7")
                terminal.shows(
                    "H100 80GB", "demo needs 78.1 GiB", f"pid {stranger.pid}  {user}  ", "train.py  2.0 GiB  since "
                )
                driver.set(H100, L40S, f"holder 0 {engine} 1000", f"holder 0 {stranger.pid} 2048")
                terminal.shows(f"(pid {stranger.pid}, {user}) takes 0.5 GiB of what demo needs on local:0")
                terminal.keys("1")
                terminal.shows("takes 0.5 GiB of what demo needs")
                driver.set("down")
                terminal.keys("7")
                terminal.shows("driver down", "CUDA_ERROR", "Driver Not Loaded")
        finally:
            stranger.kill()
