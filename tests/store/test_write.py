"""Transactions are whole, fenced, and say what went wrong."""

import sqlite3
from pathlib import Path

import pytest

from app.store.read import lease, reading, setting
from app.store.tables import Setting
from app.store.write import LeaseLost, Store, acquire_lease, beat_lease


def read(path: Path, key: str) -> object:
    with reading(path) as connection:
        return setting(connection, key)


def test_a_block_is_one_transaction(path: Path, store: Store) -> None:
    with store.write() as session:
        session.add(Setting(key="a", value="1"))
        session.flush()
        assert read(path, "a") is None
    assert read(path, "a") == 1


def test_a_block_that_raises_leaves_nothing(path: Path, store: Store) -> None:
    with pytest.raises(RuntimeError, match="changed my mind"), store.write() as session:
        session.add(Setting(key="a", value="1"))
        session.flush()
        raise RuntimeError("changed my mind")
    assert read(path, "a") is None


def test_what_the_schema_refuses_is_our_mistake_and_leaves_nothing(path: Path, store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.write() as session:
        session.add(Setting(key="a", value="1"))
        session.add(Setting(key="b", value="not JSON"))
    assert read(path, "a") is None


def test_objects_can_be_used_after_the_block(store: Store) -> None:
    with store.write() as session:
        row = Setting(key="a", value="1")
        session.add(row)
    assert row.value == "1"


def test_a_commit_is_on_disk_before_it_is_acknowledged(store: Store) -> None:
    with store.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_reader_sees_one_moment(path: Path, store: Store) -> None:
    with store.write() as session:
        session.add(Setting(key="a", value="1"))
    with reading(path) as connection:
        assert setting(connection, "a") == 1
        with store.write() as session:
            session.add(Setting(key="b", value="2"))
        assert setting(connection, "b") is None
    assert read(path, "b") == 2


class TestLease:
    def test_epochs_go_up(self, path: Path, store: Store) -> None:
        assert [acquire_lease(store, name, "boot", 1) for name in "abc"] == [1, 2, 3]
        with reading(path) as connection:
            row = lease(connection)
        assert row is not None
        assert tuple(row) == ("server", "c", 3, "boot", 1)

    def test_nobody_held_it_yet(self, path: Path) -> None:
        with reading(path) as connection:
            assert lease(connection) is None

    def test_only_the_holder_may_write(self, path: Path, store: Store) -> None:
        old = acquire_lease(store, "a", "boot", 1)
        new = acquire_lease(store, "b", "boot", 2)
        for epoch in (old, new + 1):
            with pytest.raises(LeaseLost), store.write(epoch) as session:
                session.add(Setting(key="a", value="1"))
        assert read(path, "a") is None
        with store.write(new) as session:
            session.add(Setting(key="a", value="1"))
        assert read(path, "a") == 1

    def test_without_a_lease_no_epoch_may_write(self, store: Store) -> None:
        with pytest.raises(LeaseLost), store.write(1):
            pass

    def test_a_sign_of_life_is_the_holders(self, path: Path, store: Store) -> None:
        old = acquire_lease(store, "a", "boot", 1)
        beat_lease(store, old, 5)
        new = acquire_lease(store, "b", "boot", 6)
        beat_lease(store, new, 7)
        with pytest.raises(LeaseLost):
            beat_lease(store, old, 8)
        with reading(path) as connection:
            row = lease(connection)
        assert row is not None
        assert (row["epoch"], row["beat"]) == (new, 7)
