"""A store that is locked, full, damaged, unreadable or somewhere odd: a code for a person, and nothing half done."""

import functools
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

import app.store.migrate as migrations
import app.store.sqlite as subject
from app.domain.failures import StokerError
from app.store.migrate import migrate, schema_version
from app.store.read import reading, setting
from app.store.tables import Setting
from app.store.write import Store
from tests.store.schema import fill


def put(store: Store, key: str, size: int = 1) -> None:
    with store.write() as session:
        session.add(Setting(key=key, value=f'"{"x" * size}"'))


def read(path: Path, key: str = "a") -> object:
    with reading(path) as connection:
        return setting(connection, key)


def write(path: Path) -> None:
    put(Store(path), "a")


def remake(path: Path) -> None:
    migrate(path, path.parent / "backups")


def code_of(call: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(StokerError) as caught:
        call(path)
    return caught.value.code


def test_no_store_yet(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for name in ("absent.db", "empty.db"):
        assert code_of(read, tmp_path / name) == "NOT_FOUND"


@pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%20b", "ä💥", "'; DROP TABLE keys; --", "mode=memory"])
def test_any_directory_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "stoker.db"
    path.parent.mkdir()
    remake(path)
    put(Store(path), "a")
    assert read(path) == "x"
    assert {p.name for p in tmp_path.iterdir()} == {name}


class TestLocked:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subject, "BUSY_TIMEOUT_MS", 20)
        monkeypatch.setattr(subject, "READ_TIMEOUT_MS", 20)

    @pytest.fixture
    def other(self, path: Path) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            yield other

    def test_a_writer_waits_and_then_says_so(self, path: Path, other: sqlite3.Connection) -> None:
        other.execute("BEGIN IMMEDIATE")
        assert code_of(write, path) == "STORE_BUSY"
        assert read(path) is None  # a reader is not in a writer's way, nor the other way round
        other.execute("ROLLBACK")
        write(path)
        assert read(path) == "x"

    def test_a_reader_waits_and_then_says_so(self, path: Path, other: sqlite3.Connection) -> None:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert code_of(read, path) == "STORE_BUSY"

    def test_a_migration_waits_and_then_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "new.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA journal_mode = WAL")
            other.execute("BEGIN IMMEDIATE")
            assert code_of(remake, path) == "STORE_BUSY"
        remake(path)


class TestFull:
    """SQLite says the same of a full disk and of a database at its largest allowed size."""

    def test_a_write_that_does_not_fit_is_undone(self, path: Path, store: Store) -> None:
        def limit(connection: sqlite3.Connection, _: Any) -> None:
            connection.execute("PRAGMA max_page_count = 100")

        event.listen(store.engine, "connect", limit)
        put(store, "a")
        with pytest.raises(StokerError) as caught, store.write() as session:
            session.add(Setting(key="b", value='"small"'))
            session.flush()
            session.add(Setting(key="c", value=f'"{"x" * 1_000_000}"'))
        assert caught.value.code == "DISK_FULL"
        assert (read(path, "a"), read(path, "b"), read(path, "c")) == ("x", None, None)
        put(store, "d")
        assert read(path, "d") == "x"

    def test_a_migration_that_does_not_fit_is_undone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Limited(sqlite3.Connection):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                self.execute("PRAGMA max_page_count = 20")

        path = tmp_path / "stoker.db"
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Limited))
            assert code_of(remake, path) == "DISK_FULL"
        assert code_of(read, path) == "NOT_FOUND"
        remake(path)
        assert read(path) is None

    def test_a_disk_that_fills_up(self, tmp_path: Path) -> None:
        """On a real file system, with the room for log and index gone too."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("only root may mount the small file system that this test fills")
        try:
            path = disk / "stoker.db"
            remake(path)
            store = Store(path)
            written = 0
            with pytest.raises(StokerError) as caught:
                for written in range(1_000):
                    put(store, f"k{written}", 10_000)
            assert caught.value.code == "DISK_FULL"
            assert read(path, f"k{written - 1}") == "x" * 10_000
            assert read(path, f"k{written}") is None
            (disk / "ballast").write_bytes(b"")
            self._fill(disk / "ballast")
            assert code_of(write, path) == "DISK_FULL"
            assert read(path, "k0") == "x" * 10_000
            assert code_of(remake, disk / "other.db") == "DISK_FULL"
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            put(store, "later")
            assert read(path, "later") == "x"
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def _fill(self, path: Path) -> None:
        with pytest.raises(OSError, match="No space left"), path.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 512)


class TestDamaged:
    @pytest.mark.parametrize("call", [read, write, remake])
    def test_a_file_that_is_no_store(self, tmp_path: Path, call: Callable[[Path], object]) -> None:
        path = tmp_path / "stoker.db"
        path.write_bytes(b"\x7fELF" + bytes(range(256)) * 64)
        assert code_of(call, path) == "STORE_CORRUPT"

    @pytest.mark.parametrize("call", [read, write])
    def test_a_store_with_overwritten_pages(self, path: Path, call: Callable[[Path], object]) -> None:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        assert code_of(call, path) == "STORE_CORRUPT"

    def test_a_damaged_store_is_not_migrated(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The check of the backup finds what the migration itself would not touch."""
        fill(path, schema_version())
        data = bytearray(path.read_bytes())
        at = data.rfind(b"/v1/chat/completions")
        page = at - at % 4096
        data[page + 3 : page + 5] = b"\xff\xff"  # a page that claims more cells than it can hold
        path.write_bytes(data)
        known = migrations.migrations()
        added = (schema_version() + 1, "CREATE TABLE extra (n INTEGER) STRICT;")
        monkeypatch.setattr(migrations, "migrations", lambda: [*known, added])
        assert code_of(remake, path) == "STORE_CORRUPT"
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone()[0] == known[-1][0]


class TestDenied:
    @pytest.mark.parametrize("call", [read, write, remake])
    def test_a_directory_in_its_place(self, tmp_path: Path, call: Callable[[Path], object]) -> None:
        (tmp_path / "stoker.db").mkdir(mode=0o755)
        assert code_of(call, tmp_path / "stoker.db") == "STORE_DENIED"
        assert (tmp_path / "stoker.db").stat().st_mode & 0o777 == 0o755

    @pytest.mark.parametrize("call", [write, remake])
    def test_no_directory_to_be_in(self, tmp_path: Path, call: Callable[[Path], object]) -> None:
        assert code_of(call, tmp_path / "absent" / "stoker.db") == "STORE_DENIED"

    def test_a_store_that_may_not_be_written(self, path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        path.chmod(0o400)
        assert code_of(write, path) == "STORE_DENIED"

    def test_a_reader_cannot_write(self, path: Path) -> None:
        with pytest.raises(StokerError) as caught, reading(path) as connection:
            connection.execute("INSERT INTO settings VALUES ('a', '1')")
        assert caught.value.code == "STORE_DENIED"


class TestPrivate:
    def test_nobody_else_may_read_the_store(self, path: Path, store: Store) -> None:
        with store.write() as session:
            session.add(Setting(key="a", value="1"))
            session.flush()
            files = {p.name: p.stat().st_mode & 0o777 for p in path.parent.glob("stoker.db*")}
        assert files == {"stoker.db": 0o600, "stoker.db-wal": 0o600, "stoker.db-shm": 0o600}

    def test_a_store_that_others_could_read_is_closed_to_them(self, tmp_path: Path) -> None:
        path = tmp_path / "stoker.db"
        path.touch(mode=0o644)
        path.chmod(0o644)
        remake(path)
        assert path.stat().st_mode & 0o777 == 0o600

    def test_a_loose_umask_changes_nothing(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            remake(tmp_path / "stoker.db")
            write(tmp_path / "stoker.db")
        finally:
            os.umask(before)
        assert {p.stat().st_mode & 0o777 for p in tmp_path.glob("stoker.db*")} == {0o600}
