"""Several processes at once: no update is lost, nobody is told to wait, and the lease has one holder an epoch."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.store.kill_lease import ROWS

ROOT = Path(__file__).parents[2]
DEATHS = 18


def test_eight_writers_lose_nothing_and_are_never_turned_away() -> None:
    """The minute-long version is `python -m bench.store`."""
    command = [sys.executable, "-m", "bench.store", "--processes", "8", "--writes", "80", "--seconds", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=280)
    writes, reads = (json.loads(line) for line in done.stdout.splitlines())
    assert (writes["count"], writes["lost_updates"], writes["errors"]) == (640, 0, {})
    assert reads["count"] > 0
    assert reads["errors"] == {}


def test_the_lease_fences_off_the_killed_and_the_late(path: Path) -> None:
    root = path.parent
    command = [sys.executable, "-m", "tests.store.kill_lease", str(root), str(DEATHS)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280)
    notes = [line.split() for line in (root / "notes").read_text("ascii").splitlines()]
    said = {word: [rest for first, rest in notes if first == word] for word in ("acquired", "acknowledged", "refused")}
    epochs = [int(epoch) for epoch in said["acquired"]]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) >= DEATHS
    assert len(said["acknowledged"]) == ROWS * DEATHS
    assert len(said["refused"]) == DEATHS // 3
    with closing(sqlite3.connect(path)) as connection:
        stored = {key for (key,) in connection.execute("SELECT key FROM settings")}
        assert stored == set(said["acknowledged"])
        assert connection.execute("SELECT epoch FROM lease").fetchone() == (len(epochs),)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
