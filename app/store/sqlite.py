"""How every connection to the store is set up, whoever opens it, and what SQLite's errors mean."""

import errno
import sqlite3
from pathlib import Path

from app.domain.failures import StokerError

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for its turn before it is STORE_BUSY. Write transactions last milliseconds."""
READ_TIMEOUT_MS = 2_000
"""How long a reader waits; in WAL mode it only ever waits for a recovery after a crash."""


def configure_writer(connection: sqlite3.Connection) -> None:
    """WAL, every commit on disk before it is acknowledged, references enforced, and a bounded log."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.OperationalError when there is no store at `path`."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {READ_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def translate(error: sqlite3.Error | OSError) -> Exception:
    """The StokerError that an error of SQLite or of its files means; `error` itself when it is a mistake of ours."""
    if isinstance(error, OSError):
        known = "DISK_FULL" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "STORE_DENIED"
        return StokerError(known, f"The store: {error}.")
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return error
    found = _CODES.get(code) or _CODES.get(code & 0xFF)
    return StokerError(found, f"The store: {error}.") if found else error


_CODES = {
    sqlite3.SQLITE_BUSY: "STORE_BUSY",
    sqlite3.SQLITE_LOCKED: "STORE_BUSY",
    sqlite3.SQLITE_FULL: "DISK_FULL",
    sqlite3.SQLITE_CORRUPT: "STORE_CORRUPT",
    sqlite3.SQLITE_NOTADB: "STORE_CORRUPT",
    sqlite3.SQLITE_IOERR_SHMSIZE: "DISK_FULL",  # the index of the log lives in a file of its own, which could not grow
    sqlite3.SQLITE_IOERR: "STORE_DENIED",
    sqlite3.SQLITE_CANTOPEN: "STORE_DENIED",
    sqlite3.SQLITE_READONLY: "STORE_DENIED",
    sqlite3.SQLITE_PERM: "STORE_DENIED",
}
