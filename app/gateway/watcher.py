"""The thread that keeps the snapshot fresh: it looks at the store ten times a second and reads it when it moved."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from app.domain.failures import StokerError
from app.gateway.snapshot import Snapshot, read_generation, read_snapshot
from app.settings import Home, load_presets
from app.store.sqlite import connect_reader

log = logging.getLogger(__name__)

POLL_S = 0.1
"""`PRAGMA data_version` costs some microseconds, and a revoked key must be refused within a second."""


class Watcher(threading.Thread):
    """Hands every new snapshot to `deliver`, from this thread. A store that is absent, locked or damaged is waited for;
    what was read last stays in force."""

    def __init__(self, home: Home, deliver: Callable[[Snapshot], None]) -> None:
        super().__init__(name="watcher", daemon=True)
        self._home = home
        self._deliver = deliver
        self._ended = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._version = self._generation = -1
        self._secrets: dict[str, str] = {}
        self._unnamed = frozenset(name for name, preset in load_presets(home).items() if not preset.named)
        self._complaint = ""

    def stop(self) -> None:
        """Let the thread end; returns when it has."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(POLL_S):
            try:
                self._look()
                self._complaint = ""
            except (sqlite3.Error, StokerError, OSError, LookupError, ValueError, TypeError) as error:
                self._disconnect()
                if self._complaint != str(error):
                    self._complaint = str(error)
                    log.warning("The store cannot be read yet: %s", error)
        self._disconnect()

    def _look(self) -> None:
        if self._connection is not None and self._home.store.stat().st_ino != self._inode:
            self._disconnect()  # a backup was put in its place
        connection = self._connection or self._connect()
        if connection is None:
            return
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        if read_generation(connection) != self._generation:
            snapshot = read_snapshot(connection, self._unnamed)
            self._deliver(replace(snapshot, secrets=self._read_secrets(snapshot)))
            self._generation = snapshot.generation
        self._version = version

    def _connect(self) -> sqlite3.Connection | None:
        if not self._home.store.exists():
            return None
        connection = connect_reader(self._home.store)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.close()  # the server is about to create it
            return None
        self._connection, self._inode = connection, self._home.store.stat().st_ino
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._version, self._generation = None, -1, -1

    def _read_secrets(self, snapshot: Snapshot) -> dict[str, str]:
        attempts = [i.attempt.id for d in snapshot.deployments.values() for i in d.instances if i.attempt]
        known = {attempt: self._secrets[attempt] for attempt in attempts if attempt in self._secrets}
        for attempt in attempts:
            if attempt not in known:
                with suppress(FileNotFoundError):
                    known[attempt] = (self._home.attempts / attempt / "key").read_text("ascii").strip()
        self._secrets = known
        return known
