"""A migrated store of its own for every test, and one with a row in every table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.store.migrate import migrate, schema_version
from app.store.write import Store
from tests.store.schema import fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of the newest schema, empty."""
    path = tmp_path / "stoker.db"
    migrate(path, tmp_path / "backups")
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


@pytest.fixture
def filled(path: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection, with references enforced, to a store that has rows in every table."""
    fill(path, schema_version())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.row_factory = sqlite3.Row
        yield connection
