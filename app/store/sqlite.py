"""How every connection to the store is set up, whoever opens it, and what SQLite's errors mean."""

import sqlite3
from pathlib import Path

from app.domain.failures import StokerError

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for its turn before it is STORE_BUSY. Write transactions last milliseconds."""


def configure_writer(connection: sqlite3.Connection) -> None:
    """WAL, every commit on disk before it is acknowledged, references enforced, and a bounded log."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.OperationalError when there is no store at `path`."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 2000")
    connection.execute("PRAGMA query_only = ON")
    return connection


def translate(error: sqlite3.Error) -> Exception:
    """The StokerError that a SQLite error stands for; `error` itself when it is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    known = _CODES.get(code & 0xFF) if isinstance(code, int) else None
    return StokerError(known, f"The store: {error}.") if known else error


_CODES = {
    sqlite3.SQLITE_BUSY: "STORE_BUSY",
    sqlite3.SQLITE_LOCKED: "STORE_BUSY",
    sqlite3.SQLITE_FULL: "DISK_FULL",
    sqlite3.SQLITE_CORRUPT: "STORE_CORRUPT",
    sqlite3.SQLITE_NOTADB: "STORE_CORRUPT",
}
