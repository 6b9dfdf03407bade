"""The thread that carries what the spool holds into the store, in batches, with a connection of its own.

The store may be locked, full or absent for as long as it likes: the spool waits, and no request does.
"""

import json
import logging
import os
import sqlite3
import threading
from collections import deque
from functools import lru_cache
from pathlib import Path

from app.gateway.request import COLUMNS
from app.gateway.spool import Spool
from app.store.sqlite import configure_writer

log = logging.getLogger(__name__)

PAUSE_S = 0.1
BATCH_BYTES = 1 << 20
REFUSED_KEPT = 10_000
"""Refused requests kept in the store; those that reached an engine are kept for good."""
LAST_FLUSH_MS = 5_000
"""How long the last batch of an ending gateway waits for a locked store. What it cannot write the next one will."""

_START = b'["s","'
_END = b'["e","'
_ID = slice(len(_START), len(_START) + 26)
_TOGETHER = 32
"""Rows a statement. SQLite works without the interpreter's lock, but takes it back after each: seldom is better."""

_PRUNE = """
    DELETE FROM requests WHERE attempt_id IS NULL AND id <= (
        SELECT id FROM requests WHERE attempt_id IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?)
"""
_USED = "UPDATE keys SET last_used_at = ?1 WHERE id = ?2 AND coalesce(last_used_at, 0) < ?1"
_DRAINED = """
    INSERT INTO drains (instance_id, generation) SELECT id, ?2 FROM instances WHERE id = ?1
    ON CONFLICT (instance_id) DO UPDATE SET generation = max(generation, excluded.generation)
"""


class Outbox:
    """What the event loop leaves for the drainer beside the spool: in memory, bounded, and no loss if it is lost."""

    def __init__(self) -> None:
        self.refused: deque[str] = deque(maxlen=REFUSED_KEPT)
        self.key_uses: dict[str, int] = {}
        self.drained: dict[str, int] = {}
        self.wake = threading.Event()

    def drain(self, instance_id: str, generation: int) -> None:
        """Note that as of `generation` nothing is routed to the instance and nothing is in flight."""
        self.drained[instance_id] = generation
        self.wake.set()


class Drainer(threading.Thread):
    """Writes until stopped. `leftovers` are the spool files of gateways that are no more, in order."""

    def __init__(self, store: Path, spool: Spool, leftovers: list[Path], outbox: Outbox) -> None:
        super().__init__(name="drainer", daemon=True)
        self._store, self._spool, self._leftovers, self._outbox = store, spool, leftovers, outbox
        self._file, self._offset = spool.path, 0
        self._connection: sqlite3.Connection | None = None
        self._written: dict[str, int] = {}
        self._ended = False
        self._complaint = ""

    def stop(self) -> None:
        """Write what there is, then let the thread end; returns when it has."""
        self._ended = True
        self._outbox.wake.set()
        self.join()

    def run(self) -> None:
        while not self._ended:
            self._outbox.wake.wait(PAUSE_S)
            self._outbox.wake.clear()
            self._try()
        if self._connection is not None:
            self._connection.execute(f"PRAGMA busy_timeout = {LAST_FLUSH_MS}")
        # What is still open, or came after the last look, is left to the next gateway, as after a crash.
        if self._try() and self._file == self._spool.path and self._spool.settled and self._all_read():
            self._file.unlink(missing_ok=True)
        self._disconnect()

    def _try(self) -> bool:
        """Drain everything; False if the store did not take it."""
        try:
            connection = self._connection or self._connect()
            if connection is None:
                return False
            self._recover(connection)
            while self._drain(connection):
                pass
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            if self._complaint != str(error):
                log.warning("The store takes no requests for now, the spool keeps them: %s", error)
            self._complaint = str(error)
            return False
        self._complaint = ""
        return True

    def _all_read(self) -> bool:
        return not self._file.exists() or self._file.stat().st_size == self._offset

    def _connect(self) -> sqlite3.Connection | None:
        if not self._store.exists():
            return None
        connection = sqlite3.connect(self._store, isolation_level=None)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.close()  # the server is about to create it
            return None
        configure_writer(connection)
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _drain(self, connection: sqlite3.Connection) -> bool:
        """Write one batch; whether there may be more."""
        complete = self._spool.path != self._file  # asked before reading: a complete file is never written to again
        lines = _read_lines(self._file, self._offset)
        refused = [self._outbox.refused.popleft() for _ in range(len(self._outbox.refused))]
        try:
            ended = [line for line in lines if line.startswith(_END)]
            self._write(connection, [line.encode() for line in refused] + ended, prune=bool(refused))
        except BaseException:
            self._outbox.refused.extendleft(reversed(refused))
            raise
        size = _size(lines)
        self._offset += size
        if complete and not lines:
            self._advance()
        # What has come in meanwhile waits for the next batch: one a line would cost ten times as much.
        return complete or size > BATCH_BYTES // 2

    def _advance(self) -> None:
        finished = self._file
        self._file = min(path for path in spool_files(finished.parent) if path.name > finished.name)
        self._offset = 0
        finished.unlink(missing_ok=True)

    def _write(self, connection: sqlite3.Connection, lines: list[bytes], prune: bool) -> None:
        uses = self._unwritten(self._outbox.key_uses)
        drained = self._unwritten(self._outbox.drained)
        if not (lines or uses or drained):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            _insert(connection, lines)
            connection.executemany(_USED, [(at, key) for key, at in uses.items()])
            connection.executemany(_DRAINED, drained.items())
            if prune:
                connection.execute(_PRUNE, (REFUSED_KEPT,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._written |= uses | drained

    def _unwritten(self, noted: dict[str, int]) -> dict[str, int]:
        # `copy` is one step for the interpreter, so that the event loop may add to the dictionary meanwhile.
        return {name: value for name, value in noted.copy().items() if self._written.get(name) != value}

    def _recover(self, connection: sqlite3.Connection) -> None:
        """Write what dead predecessors left. Their starts without an end become estimated rows, as they stand."""
        if not self._leftovers:
            return
        started: dict[bytes, bytes] = {}
        for path in self._leftovers:
            offset = 0
            while lines := _read_lines(path, offset):
                offset += _size(lines)
                ended = [line for line in lines if line.startswith(_END)]
                for line in lines:
                    if line.startswith(_START):
                        started[line[_ID]] = line
                    else:
                        started.pop(line[_ID], None)
                self._write(connection, ended, prune=False)
        self._write(connection, list(started.values()), prune=False)
        for path in self._leftovers:
            path.unlink(missing_ok=True)
        log.info("Drained %d spool files left behind; %d requests had no end.", len(self._leftovers), len(started))
        self._leftovers = []


def spool_files(directory: Path) -> list[Path]:
    """The files of a spool, in the order in which they were written."""
    return sorted(directory.glob("*.jsonl"))


def _read_lines(path: Path, offset: int) -> list[bytes]:
    """The whole lines among the BATCH_BYTES from `offset`; a line is far shorter. Empty if the file is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        return os.pread(fd, BATCH_BYTES, offset).split(b"\n")[:-1]
    finally:
        os.close(fd)


def _size(lines: list[bytes]) -> int:
    return sum(map(len, lines)) + len(lines)


def _insert(connection: sqlite3.Connection, lines: list[bytes]) -> None:
    """Insert the rows of `lines`. One that was torn by a full disk, or is not a row, is left out and logged."""
    for start in range(0, len(lines), _TOGETHER):
        _insert_together(connection, lines[start : start + _TOGETHER])


def _insert_together(connection: sqlite3.Connection, lines: list[bytes]) -> None:
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
        connection.execute(_insertion(len(rows)), [value for row in rows for value in row[1:]])
    except (ValueError, TypeError, sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
        if len(lines) == 1:
            log.error("A request cannot be kept: %s: %.200r", error, lines[0])
            return
        half = len(lines) // 2
        _insert_together(connection, lines[:half])
        _insert_together(connection, lines[half:])


@lru_cache
def _insertion(rows: int) -> str:
    marks = ", ".join([f"({', '.join('?' * len(COLUMNS))})"] * rows)
    return (
        f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES {marks}"  # noqa: S608 # names of columns and marks
        " ON CONFLICT (id) DO NOTHING"
    )
