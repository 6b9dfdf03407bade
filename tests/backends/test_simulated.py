"""Scripted hosts: what a clock that the test drives makes of attempts of which nothing runs, and what survives."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.base import BackendRefused, InstanceSpec, Resource
from backends.scripted import Moment
from backends.simulated import OOM_LINE, SimulatedBackend
from tests.contract.harness import run

START = Moment(1_000_000_000, 5_000_000, "boot-a")
URL = "http://127.0.0.1:9"


class Clock:
    """Time that goes by when the test says so, in seconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> Moment:
        return self.now

    def go(self, seconds: float, wall: float = 0.0) -> None:
        """`wall` is how far the wall clock jumps besides."""
        us = int(seconds * 1e6)
        self.now = self.now._replace(at=self.now.at + us + int(wall * 1e6), boot_us=self.now.boot_us + us)


@pytest.fixture
def clock() -> Clock:
    return Clock()


Opener = Callable[..., SimulatedBackend]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Opener:
    """Opens the host anew, as a server does that starts."""

    def open_host(*faults: str, owner: str = "us", **more: Any) -> SimulatedBackend:
        return SimulatedBackend(
            tmp_path / "attempts", owner, host="sim-a", endpoint=URL, faults=faults, clock=clock, **more
        )

    return open_host


def create(backend: SimulatedBackend, key: str, directory: Path | None = None, owner: str = "us") -> None:
    where = str(directory or "/nowhere")
    run(backend.create(InstanceSpec(owner, "d", "i", 1, "m", "llama.cpp", ("engine",), where), key))


def look(backend: SimulatedBackend) -> Resource:
    (found,) = run(backend.observe())
    return found


def test_a_start_takes_as_long_as_its_script_says(opened: Opener, clock: Clock) -> None:
    backend = opened(prepare=5.0, load=10.0)
    create(backend, "a1")
    assert (look(backend).presence, look(backend).endpoint) == ("preparing", None)
    clock.go(5)
    assert (look(backend).presence, look(backend).endpoint) == ("alive", None)
    clock.go(10, wall=-3_600)
    assert (look(backend).presence, look(backend).endpoint) == ("alive", URL)
    assert look(backend).started_at == START.at + 5_000_000


@pytest.mark.parametrize(
    ("fault", "after", "code", "ended_by"),
    [("crash 30", 35, None, signal.SIGALRM), ("oom", 15, 1, None), ("timeout 7", 7, None, None)],
)
def test_it_ends_when_its_script_says(
    opened: Opener, clock: Clock, fault: str, after: int, code: int | None, ended_by: int | None
) -> None:
    backend = opened(fault, prepare=5.0, load=10.0)
    create(backend, "a1")
    clock.go(after - 0.001)
    assert look(backend).exit is None
    clock.go(3_600, wall=7)
    end = look(backend).exit
    assert end is not None
    assert (end.code, end.signal) == (code, ended_by)
    assert (end.at, end.boot_us) == (START.at + after * 1_000_000, START.boot_us + after * 1_000_000)
    assert (end.error or "").startswith("no capacity within 7 s") == (fault == "timeout 7")


def test_faults_come_in_their_order_and_the_last_stays(opened: Opener, clock: Clock) -> None:
    backend = opened("capacity", "crash 1", "none")
    with pytest.raises(BackendRefused, match="no capacity on sim-a"):
        create(backend, "a1")
    for key in ("a2", "a3", "a4"):
        create(opened("capacity", "crash 1", "none"), key)  # whoever asks, the host counts its starts
    clock.go(2)
    assert [r.key for r in run(opened().observe()) if r.exit is None] == ["a3", "a4"]


def test_what_it_held_is_there_after_a_restart(opened: Opener, clock: Clock) -> None:
    create(opened("crash 30"), "a1")
    clock.go(10)
    before = look(opened())
    create(opened(), "a1")
    assert look(opened()) == before
    clock.go(20)
    end = look(opened()).exit
    assert end is not None
    assert look(opened()).exit == end
    run(opened().delete("a1"))
    assert run(opened().observe()) == ()


def test_a_stop_is_told_on_both_clocks(opened: Opener, clock: Clock) -> None:
    backend = opened()
    create(backend, "a1")
    with pytest.raises(BackendRefused):
        run(backend.delete("a1"))
    clock.go(60, wall=-30)
    run(backend.stop("a1", 10))
    clock.go(60)
    run(backend.stop("a1", 10))
    end = look(opened()).exit
    assert end is not None
    assert (end.signal, end.at) == (signal.SIGTERM, START.at + 30_000_000)
    assert end.boot_us == START.boot_us + 60_000_000


def test_a_reboot_of_ours_is_none_of_the_host_s(opened: Opener, clock: Clock) -> None:
    create(opened("crash 100"), "a1")
    clock.now = Moment(START.at + 60_000_000, 1, "boot-b")
    assert look(opened()).exit is None
    clock.go(60)
    end = look(opened()).exit
    assert end is not None
    assert (end.at, end.boot_us) == (START.at + 100_000_000, None)


def test_an_engine_without_memory_says_so_last(opened: Opener, clock: Clock, tmp_path: Path) -> None:
    directory = tmp_path / "attempts" / "a1"
    directory.mkdir(parents=True)
    backend = opened("oom", load=1.0)
    create(backend, "a1", directory)
    look(backend)
    assert not (directory / "head.log").exists()
    clock.go(1)
    look(backend)
    assert (directory / "head.log").read_text() == f"{OOM_LINE}\n"


def test_what_is_another_s_is_left_alone(opened: Opener) -> None:
    theirs, ours = opened(owner="them"), opened()
    assert run(ours.observe()) == ()
    create(theirs, "a1", owner="them")
    with pytest.raises(BackendRefused):
        create(ours, "a1")
    run(ours.stop("a1", 0))
    run(ours.delete("a1"))
    assert run(ours.observe()) == ()
    assert look(theirs).exit is None


def test_a_fleet_costs_files_and_no_process(opened: Opener) -> None:
    backend = opened()
    for n in range(1_000):
        create(backend, f"a{n}")
    assert len(run(opened().observe())) == 1_000
    assert {r.pid for r in run(backend.observe())} == {None}
