"""kill -9 at every commit and every call to a backend: after a restart everything is as if it had not happened."""

from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from app.settings import Home
from app.store import read, wishes
from tests.control.crashing import start_server
from tests.control.servers import end
from tests.control.support import engines, launch, new_home, see, status, wait_for, wish

LANES = 2
"""The points are dealt out over this many tests, so that they run beside each other under xdist."""


@pytest.mark.parametrize("lane", range(LANES))
@pytest.mark.timeout(600)
def test_every_crash_point(tmp_path: Path, lane: int) -> None:
    point = lane + 1
    while _survives(new_home(tmp_path / str(point)), point):
        point += LANES
    assert point > 12, "the points were not enumerated"


def _survives(home: Home, kill_at: int) -> bool:
    """Launch and remove under a server that dies at its `kill_at`-th point; whether it did die."""
    launch(home)
    first = start_server(home, kill_at)
    second: ForkServerProcess | None = None
    try:
        wait_for(lambda: status(home) == "DEPLOYED" or not first.is_alive(), "the launch, or the crash")
        before = engines(home)
        if not first.is_alive():
            second = start_server(home)
            wait_for(lambda: status(home) == "DEPLOYED", f"the launch after a crash at point {kill_at}")
        after = engines(home)
        assert len(after) == 1, f"crash point {kill_at}: {after}"
        assert not before or before == after, f"crash point {kill_at}: a healthy engine was started anew"
        _rows_tell_the_truth(home, after)

        wish(home, wishes.remove, "demo", "test")
        wait_for(lambda: status(home) == "GONE" or not first.is_alive(), "the removal, or the crash")
        if not first.is_alive() and second is None:
            second = start_server(home)
        wait_for(lambda: status(home) == "GONE", f"the removal after a crash at point {kill_at}")
        assert engines(home) == {}, f"crash point {kill_at}: an engine was left behind"
        return second is not None
    finally:
        for server in (first, second):
            if server is not None:
                end(server)


def _rows_tell_the_truth(home: Home, running: dict[int, str]) -> None:
    """No process without a row, no row that claims what is not there, and one attempt in all."""
    deployment = see(home)
    assert deployment is not None
    (instance,) = deployment.instances
    assert instance.attempt is not None
    assert running == {instance.pid: instance.attempt.id}
    with read.reading(home.store) as connection:
        assert len(read.attempts(connection, instance.id)) == 1
