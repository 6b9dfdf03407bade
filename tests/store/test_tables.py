"""The SQL schema and the SQLModel classes say the same."""

import sqlite3
from typing import Any

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlmodel import SQLModel

import app.store.tables  # noqa: F401 # fills the metadata
from tests.store.schema import tables

METADATA = SQLModel.metadata.tables
SQL_TYPES = {"VARCHAR": "TEXT", "INTEGER": "INTEGER", "BLOB": "BLOB"}


def test_every_table_has_a_class_and_every_class_a_table(filled: sqlite3.Connection) -> None:
    assert set(METADATA) == set(tables(filled))


def test_every_table_is_strict(filled: sqlite3.Connection) -> None:
    strict = {row["name"]: row["strict"] for row in filled.execute("PRAGMA table_list") if row["schema"] == "main"}
    assert [name for name in tables(filled) if not strict[name]] == []


@pytest.mark.parametrize("name", sorted(METADATA))
def test_columns_are_equal(filled: sqlite3.Connection, name: str) -> None:
    in_sql = {row["name"]: row for row in filled.execute(f"PRAGMA table_info({name})")}
    assert [_column(row) for row in in_sql.values()] == [
        (c.name, SQL_TYPES[c.type.compile(sqlite.dialect())], c.primary_key or bool(c.nullable), c.primary_key)
        for c in METADATA[name].columns
    ]


@pytest.mark.parametrize("name", sorted(METADATA))
def test_defaults_are_equal(filled: sqlite3.Connection, name: str) -> None:
    """A row written through either side gets the same values for what was left out."""
    in_sql = {row["name"]: row["dflt_value"] for row in filled.execute(f"PRAGMA table_info({name})")}
    assert {column: _evaluate(filled, text) for column, text in in_sql.items()} == _defaults(METADATA[name])


@pytest.mark.parametrize("name", sorted(METADATA))
def test_references_are_equal(filled: sqlite3.Connection, name: str) -> None:
    in_sql = {(r["from"], r["table"], r["to"]) for r in filled.execute(f"PRAGMA foreign_key_list({name})")}
    assert in_sql == {(key.parent.name, key.column.table.name, key.column.name) for key in METADATA[name].foreign_keys}


def _column(row: sqlite3.Row) -> tuple[str, str, bool, bool]:
    # SQLite calls an INTEGER PRIMARY KEY nullable, because NULL there means "the next number".
    return row["name"], row["type"], bool(row["pk"]) or not row["notnull"], bool(row["pk"])


def _evaluate(connection: sqlite3.Connection, text: str | None) -> object:
    return None if text is None else connection.execute(f"SELECT {text}").fetchone()[0]  # from the schema


def _defaults(table: Table) -> dict[str, Any]:
    return {c.name: getattr(c.default, "arg", None) for c in table.columns}
