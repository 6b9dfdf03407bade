"""Somebody else holds the store's write lock for seconds: everybody who reads goes on, everybody who writes waits."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.store import read
from tests.control.support import engines, wait_for
from tests.e2e.stoker import COMMAND, Stoker, installed


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """The store with its write lock held by this process."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_locked_store_delays_writers_and_stops_nobody(tmp_path: Path) -> None:
    with installed(tmp_path) as stoker:
        stoker.launch()
        server, engine = stoker.pid("server"), stoker.engine()
        assert stoker.answers()
        words = ["launch", "smollm2", "--name", "other", "--ctx", "256", "--seqs", "1", "--json"]
        with locked(stoker.home.store):
            launching = subprocess.Popen([COMMAND, *words], env=stoker.env, stdout=subprocess.PIPE)
            assert stoker.answers()
            os.kill(engine, signal.SIGKILL)
            wait_for(lambda: stoker.json("ps")[0]["stale_s"] >= 5, "the server to miss its beat")
            assert [row["name"] for row in stoker.json("ps")] == ["demo"]
            assert launching.poll() is None
        out, _ = launching.communicate(timeout=60)
        assert (launching.returncode, out) == (0, b'{"name": "other"}\n')
        wait_for(lambda: [row["status"] for row in stoker.json("ps")] == ["DEPLOYED"] * 2, "everything to go on")
        assert engine not in engines(stoker.home)
        assert stoker.pid("server") == server
        wait_for(lambda: answered(stoker) == 2, "the requests of the meantime to be recorded")


def answered(stoker: Stoker) -> int:
    with read.reading(stoker.home.store) as connection:
        count: int = connection.execute(
            "SELECT count(*) FROM requests WHERE status = 200 AND attempt_id IS NOT NULL"
        ).fetchone()[0]
    return count
