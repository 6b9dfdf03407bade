"""The server samples GPUs: this machine's through the stub of a driver, a host's over a real sshd, whatever hangs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.domain.gpus import KNOWN_AFTER_US, HostFacts, Intrusion, Reserve, intrusion
from app.domain.stock import Stock
from app.hosts.look import connection
from app.settings import Home
from app.store import hosts, wishes
from app.store.read import reading
from tests.control import servers
from tests.control.support import engines, launch, new_home, status, wait_for, wish
from tests.gateway.process import wait_for as wait
from tests.hosts.sshd import NAME, sshd
from tests.hosts.stub import H100, L40S, MIB, VARIABLE, Driver, build, preload
from tests.hosts.test_remote import GPUS, smi
from tests.hosts.test_stock import DOCKER

UUID = "GPU-bbbbbbbb-0000-0000-0000-000000000002"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = new_home(tmp_path / "home")
    yield made
    shutil.rmtree(made.runtime, ignore_errors=True)


@pytest.fixture
def driver(home: Home, tmp_path: Path) -> Driver:
    """A driver for the server: its environment is what the config says."""
    made = Driver(build(tmp_path), tmp_path / "nvml.txt")
    configure(home, made)
    return made


def configure(home: Home, driver: Driver, path: str = "", more: str = "") -> None:
    text = f"[server.env]\n{VARIABLE} = '{driver.state}'\n" + (f"PATH = '{path}'\n" if path else "") + more
    partial_file = home.config / "config.partial"
    partial_file.write_text(text)
    partial_file.replace(home.config / "config.toml")


def hurried(library: Path, patience_s: float = 20.0) -> None:
    """Have the server meet the stub, and look without long pauses."""
    import app.control.telemetry as module

    preload(library)
    hurry = ("SAMPLE_EVERY_S", "QUIET_EVERY_S", "CONFIG_EVERY_S", "STOCK_AFTER_S")
    for name, value in (*((name, 0.1) for name in hurry), ("STOCK_EVERY_S", 1.0)):
        setattr(module, name, value)
    setattr(module, "PATIENCE_S", patience_s)  # noqa: B010 # it is not the module's to export


def seen(home: Home, name: str = "local") -> HostFacts | None:
    with reading(home.store) as connection:
        return next((facts for facts in hosts.hosts(connection) if facts.name == name), None)


def stock(home: Home, name: str) -> Stock | None:
    with reading(home.store) as connection:
        return hosts.stocks(connection).get(name)


def state(home: Home, name: str = "local") -> str | None:
    facts = seen(home, name)
    return None if facts is None else facts.look.state


def silent(home: Home, name: str = "local") -> HostFacts | None:
    """The host, once it is said not to answer."""
    facts = seen(home, name)
    return facts if facts is not None and facts.look.state == "unreachable" else None


def need(home: Home) -> Reserve | None:
    """What the deployment is known to need of the GPU."""
    facts = seen(home)
    return None if facts is None else facts.reserves.get(UUID, {}).get("demo")


def intruders(home: Home) -> Intrusion | None:
    facts = seen(home)
    gpu = next((g for g in facts.look.gpus if g.uuid == UUID), None) if facts else None
    later = facts.look.at + KNOWN_AFTER_US if facts else 0
    return intrusion(gpu, facts.reserved(gpu), later) if facts and gpu else None


def test_gpus_are_sampled_and_a_driver_that_hangs_holds_nobody_up(home: Home, driver: Driver) -> None:
    driver.set(H100, L40S)
    with servers.server(home, servers.without_gateway, partial(hurried, driver.library, 1.0)):
        wait_for(lambda: state(home) == "ok", "a look at this machine")
        driver.set(H100.replace(" 92 71 ", " 5 40 "), L40S)
        wait_for(lambda: (f := seen(home)) is not None and f.look.gpus[0].utilization == 5, "a later look")
        driver.set(H100, L40S, "hang")
        facts = wait(lambda: silent(home))
        assert facts.look.code == "HOST_UNREACHABLE"
        assert [gpu.name for gpu in facts.look.gpus] == ["NVIDIA H100 80GB HBM3", "NVIDIA L40S"], "what it had is kept"
        launch(home, "demo")
        wait_for(lambda: status(home) == "DEPLOYED", "a launch meanwhile")
        driver.set(H100)
        wait_for(lambda: state(home) == "ok", "the driver to be back")
        driver.set(H100, "hang")
        wish(home, wishes.remove, "demo", "test")
        wait_for(lambda: status(home) == "GONE", "the removal")
    # The server has ended in order while a look was hanging. Let its thread go.
    driver.remove()
    with reading(home.store) as connection:
        samples = hosts.history(connection, facts.look.at)
    assert set(samples) == {("local", "GPU-aaaaaaaa-0000-0000-0000-000000000001"), ("local", UUID)}


def test_a_newcomer_that_takes_what_ours_need_is_told_apart(home: Home, driver: Driver) -> None:
    driver.set(L40S)
    with servers.server(home, servers.without_gateway, partial(hurried, driver.library)):
        launch(home, "demo")
        wait_for(lambda: status(home) == "DEPLOYED", "the launch")
        (engine,) = engines(home)
        driver.set(L40S, f"holder 0 {engine} 40000")
        assert wait(lambda: need(home)).bytes == 40_000 * MIB
        driver.set(L40S, f"holder 0 {engine} 1000")
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
            driver.set(L40S, f"holder 0 {engine} 1000", f"holder 0 {stranger.pid} 10000")
            found = wait(lambda: intruders(home))
            assert (found.deployments, [h.pid for h in found.holders]) == (("demo",), [stranger.pid])
            assert found.missing == (40_000 + 10_000 - 46_068) * MIB
            stranger.kill()
        wish(home, wishes.remove, "demo", "test")
        wait_for(lambda: status(home) == "GONE", "the removal")
        wait_for(lambda: (f := seen(home)) is not None and not f.reserves, "its needs to be forgotten")


def test_hosts_come_and_go_with_the_config(home: Home, driver: Driver, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd") as host:
        smi(host, *GPUS)
        host.script("docker", DOCKER)
        path = f"{host.wrapper}{os.pathsep}{os.environ['PATH']}"
        configure(home, driver, path)
        with servers.server(home, servers.without_gateway, partial(hurried, driver.library)):
            wait_for(lambda: state(home) == "no_driver", "a look at this machine")
            configure(home, driver, path, f"[hosts.gpu1]\naddress = '{NAME}'\n")
            wait_for(lambda: state(home, "gpu1") == "ok", "a look at the host")
            assert wait(lambda: stock(home, "gpu1")).images[0].size == 10_400_000_000
            (host.client.parent / "authorized").write_text("")
            host.hang_up()
            cut = wait(lambda: silent(home, "gpu1"))
            assert len(cut.look.gpus) == 2
            assert stock(home, "gpu1") is not None, "what it had is kept"
            assert cut.answered_at is not None and cut.answered_at < cut.since <= cut.look.at
            configure(home, driver, path, "[hosts.gpu1]\nadress = 'typo'\n")
            configure(home, driver, path)
            wait_for(lambda: seen(home, "gpu1") is None, "the host to be forgotten")
        if (ssh := connection(home, NAME)) is not None:
            ssh.close()
