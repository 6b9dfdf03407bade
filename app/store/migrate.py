"""Numbered migrations: each is one transaction, after a backup, so that a kill at any point leaves old or new.

Only the server migrates. `PRAGMA user_version` is the number of the last migration that was applied.
"""

import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

from app.domain.failures import StokerError
from app.store.sqlite import configure_writer, translate

BACKUPS_KEPT = 7


def migrations() -> list[tuple[int, str]]:
    """The numbered scripts, in order: (number, SQL). They are numbered 1, 2, 3 … without a gap."""
    folder = resources.files("app.store.migrations")
    scripts = sorted((f.name, f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name[:4]), sql) for name, sql in scripts]


def schema_version() -> int:
    """The version of the schema that this stoker writes."""
    return migrations()[-1][0]


def migrate(path: Path, backups: Path, upto: int | None = None) -> int:
    """Bring the store at `path` to `schema_version()` (or `upto`), creating it if need be; the version it had before.

    Raises STORE_NEWER for a store written by a newer stoker, STORE_CORRUPT for a file that is none or is damaged,
    STORE_BUSY, DISK_FULL and STORE_DENIED.
    """
    try:
        path.touch(mode=0o600, exist_ok=True)
        if path.is_file():
            path.chmod(0o600)  # it may have been there before us; the log and its index take their mode from it
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            configure_writer(connection)
            before = read_version(connection)
            pending = [(n, sql) for n, sql in migrations() if before < n <= (upto or schema_version())]
            if pending and before:
                _back_up(connection, backups, before)
            for number, sql in pending:
                _apply(connection, number, sql)
            return before
    except (sqlite3.Error, OSError) as error:
        raise translate(error) from error


def read_version(connection: sqlite3.Connection) -> int:
    """The schema version of an open store, 0 for an empty file. Raises STORE_NEWER if it is beyond ours."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > schema_version():
        raise StokerError(
            "STORE_NEWER", f"The store has schema {version}, this stoker knows {schema_version()} at most."
        )
    return version


def _apply(connection: sqlite3.Connection, number: int, sql: str) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")  # a rebuilt table must not cascade into its children
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Somebody else may have migrated while we waited for the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] < number:
            for statement in _statements(sql):
                connection.execute(statement)
            if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
                raise sqlite3.IntegrityError(f"migration {number} breaks a reference: {broken[0]}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def _statements(sql: str) -> list[str]:
    """Split a script into statements; `executescript` would commit before it begins."""
    found, current = [], ""
    for line in sql.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    if any(line and not line.startswith("--") for line in map(str.strip, current.splitlines())):
        raise ValueError(f"a migration ends in the middle of a statement: {current!r}")
    return found


def _back_up(connection: sqlite3.Connection, backups: Path, version: int) -> None:
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = backups / f"stoker-schema-{version:04}.db"
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
        if (found := copy.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise StokerError("STORE_CORRUPT", f"The store is damaged, and was not migrated: {found}.")
    partial.replace(target)
    for old in sorted(backups.glob("stoker-schema-*.db"))[:-BACKUPS_KEPT]:
        old.unlink()
