"""What a schema is made of, told apart from how its text is laid out, and rows to migrate."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

ROWS = Path(__file__).parent / "rows"
"""Rows by the schema that introduced their tables: `0001.sql`, and one more file for each migration that adds some."""


def fill(path: Path, version: int) -> None:
    """Put a row or more into every table of a store at schema `version`."""
    with closing(sqlite3.connect(path)) as connection:
        for script in sorted(ROWS.glob("*.sql")):
            if int(script.stem) <= version:
                connection.executescript(script.read_text("utf-8"))


def describe(connection: sqlite3.Connection) -> dict[str, str]:
    """Every table, index and trigger by name, as SQL without comments, quotes and layout."""
    rows = connection.execute("SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: _plain(sql) for name, sql in rows}


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of our tables."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return sorted(name for (name,) in rows)


def contents(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    return {
        name: sorted((tuple(row) for row in connection.execute(f"SELECT * FROM {name}")), key=repr)  # noqa: S608 # our own names
        for name in tables(connection)
    }


def _plain(sql: str) -> str:
    sql = re.sub(r"--[^\n]*", "", sql).replace('"', "")
    return re.sub(r"\s*([(),;])\s*", r"\1", " ".join(sql.split()))
