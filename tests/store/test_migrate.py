"""Numbered migrations: a fresh store equals a migrated one, and a kill anywhere leaves the old one or the new one."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import app.store.migrate as subject
from app.domain.failures import StokerError
from app.store.migrate import migrate, migrations, schema_version
from app.store.read import reading
from tests.store.schema import contents, describe, fill, tables

SECOND = Path(__file__).parent / "second.sql"
ROOT = Path(__file__).parents[2]
NEWEST = schema_version()
Extend = Callable[..., None]


@pytest.fixture
def extend(monkeypatch: pytest.MonkeyPatch) -> Extend:
    """Have stoker know one migration after another that it does not have yet."""

    def extend(*scripts: str) -> None:
        known = subject.migrations()
        extended = known + [(known[-1][0] + 1 + i, sql) for i, sql in enumerate(scripts)]
        monkeypatch.setattr(subject, "migrations", lambda: extended)

    return extend


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in migrations()] == list(range(1, NEWEST + 1))


def test_every_table_has_rows_to_migrate(filled: sqlite3.Connection) -> None:
    assert [name for name, rows in contents(filled).items() if not rows] == []
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_migrated_store_with_rows_equals_a_fresh_one(tmp_path: Path, version: int) -> None:
    old = tmp_path / "old.db"
    migrate(old, tmp_path / "backups", upto=version)
    fill(old, version)
    with closing(sqlite3.connect(old)) as connection:
        before = {name: len(rows) for name, rows in contents(connection).items()}
    assert migrate(old, tmp_path / "backups") == version

    fresh = tmp_path / "fresh.db"
    assert migrate(fresh, tmp_path / "backups") == 0
    with closing(sqlite3.connect(old)) as migrated, closing(sqlite3.connect(fresh)) as new:
        assert describe(migrated) == describe(new)
        assert {name: len(rows) for name, rows in contents(migrated).items() if name in before} == before
        assert migrated.execute("PRAGMA foreign_key_check").fetchall() == []
        assert migrated.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_no_migration_loses_a_trigger_or_an_index_of_the_first(tmp_path: Path) -> None:
    """A table that is rebuilt loses its triggers and indexes in silence; whoever means it changes this test."""
    first, newest = tmp_path / "first.db", tmp_path / "newest.db"
    migrate(first, tmp_path / "backups", upto=1)
    migrate(newest, tmp_path / "backups")
    with closing(sqlite3.connect(first)) as old, closing(sqlite3.connect(newest)) as new:
        assert set(describe(old)) - set(describe(new)) == set()


def test_a_rebuilt_table_keeps_its_rows_and_its_children(
    filled: sqlite3.Connection, path: Path, extend: Extend
) -> None:
    before = contents(filled)
    extend(SECOND.read_text("utf-8"))
    assert migrate(path, path.parent / "backups") == NEWEST
    after = contents(filled)
    assert [row[0] for row in after["instances"]] == [row[0] for row in before["instances"]]
    assert {row[5] for row in after["instances"]} == {"blue; or -- perhaps -- green"}
    untouched = set(tables(filled)) - {"instances", "lease", "settings"}
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert filled.execute("PRAGMA foreign_key_check").fetchall() == []
    filled.execute("UPDATE instances SET endpoint = 'http://127.0.0.1:1' WHERE name = 'demo-a'")
    assert contents(filled)["generations"] != before["generations"]


def test_a_second_run_does_nothing(filled: sqlite3.Connection, path: Path) -> None:
    before = list(filled.iterdump())
    assert migrate(path, path.parent / "backups") == NEWEST
    assert list(filled.iterdump()) == before
    assert not (path.parent / "backups").exists()


def test_a_migration_that_breaks_a_reference_is_undone(filled: sqlite3.Connection, path: Path, extend: Extend) -> None:
    before = list(filled.iterdump())
    extend("DELETE FROM instances;")
    with pytest.raises(sqlite3.IntegrityError, match="breaks a reference"):
        migrate(path, path.parent / "backups")
    assert list(filled.iterdump()) == before


def test_each_migration_stands_when_the_next_one_fails(filled: sqlite3.Connection, path: Path, extend: Extend) -> None:
    extend(SECOND.read_text("utf-8"), "CREATE TABLE extra (n INTEGER) STRICT;\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(path, path.parent / "backups")
    assert filled.execute("PRAGMA user_version").fetchone()[0] == NEWEST + 1
    assert "extra" not in tables(filled)


def test_a_script_that_breaks_off_is_refused_whole(filled: sqlite3.Connection, path: Path, extend: Extend) -> None:
    extend("CREATE TABLE extra (n INTEGER) STRICT;\nCREATE TABLE more (n INTEGER) STRICT")
    with pytest.raises(ValueError, match="middle of a statement"):
        migrate(path, path.parent / "backups")
    assert "extra" not in tables(filled)


def test_a_newer_store_is_refused_by_writer_and_reader(filled: sqlite3.Connection, path: Path) -> None:
    filled.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = list(filled.iterdump())
    for attempt in (lambda: migrate(path, path.parent / "backups"), lambda: reading(path).__enter__()):
        with pytest.raises(StokerError) as caught:
            attempt()
        assert caught.value.code == "STORE_NEWER"
        assert caught.value.message == f"The store has schema {NEWEST + 1}, this stoker knows {NEWEST} at most."
        assert caught.value.remedy == "Upgrade this stoker."
    assert list(filled.iterdump()) == before


def test_an_older_store_is_refused_by_the_reader(path: Path, extend: Extend) -> None:
    extend(SECOND.read_text("utf-8"))
    with pytest.raises(StokerError) as caught, reading(path):
        pass
    assert caught.value.code == "SERVER_OLDER"


def test_the_backup_is_the_store_as_it_was(filled: sqlite3.Connection, path: Path, extend: Extend) -> None:
    before = list(filled.iterdump())
    extend(SECOND.read_text("utf-8"))
    migrate(path, path.parent / "backups")
    (backup,) = (path.parent / "backups").iterdir()
    assert backup.name == f"stoker-schema-{NEWEST:04}.db"
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.parent.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(backup)) as copy:
        assert list(copy.iterdump()) == before


def test_only_the_newest_backups_are_kept(filled: sqlite3.Connection, path: Path, extend: Extend) -> None:
    backups = path.parent / "backups"
    for version in range(subject.BACKUPS_KEPT + 3):
        extend(f"CREATE TABLE extra{version} (n INTEGER) STRICT;")
        migrate(path, backups)
    first = NEWEST + 3
    assert sorted(f.name for f in backups.iterdir()) == [
        f"stoker-schema-{first + i:04}.db" for i in range(subject.BACKUPS_KEPT)
    ]


@pytest.mark.parametrize("seeded", [True, False], ids=["a store with rows", "no store yet"])
def test_a_kill_at_any_statement_leaves_old_or_new(tmp_path: Path, extend: Extend, seeded: bool) -> None:
    root = tmp_path / "killed"
    root.mkdir()
    if seeded:
        migrate(root / "seed.db", root / "backups")
        fill(root / "seed.db", NEWEST)
    extend(SECOND.read_text("utf-8"))
    subprocess.run(
        [sys.executable, "-m", "tests.store.kill_migration", str(root), str(SECOND)], cwd=ROOT, check=True, timeout=60
    )
    places = sorted((p for p in root.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    assert len(places) > 20  # pragmas, BEGIN, each statement of the scripts, COMMIT: it did die in all of them
    schemas, dumps = _known(tmp_path, seeded)
    versions = [_survivor(place, schemas, dumps, seeded) for place in places]
    assert versions == sorted(versions)
    assert versions[0] == (NEWEST if seeded else 0)
    assert versions[-1] == NEWEST + 1


def _known(tmp_path: Path, seeded: bool) -> tuple[list[dict[str, str]], list[list[str]]]:
    """Schema and contents of the store at every version that it may be found at."""
    path = tmp_path / "known.db"
    schemas: list[dict[str, str]] = [{}]
    dumps: list[list[str]] = [[]]
    for version in range(1, NEWEST + 2):
        migrate(path, tmp_path / "backups", upto=version)
        if seeded and version == NEWEST:
            fill(path, NEWEST)
        with closing(sqlite3.connect(path)) as connection:
            schemas.append(describe(connection))
            dumps.append([line for line in connection.iterdump() if "INSERT INTO" in line and "keys" not in line])
    return schemas, dumps


def _survivor(place: Path, schemas: list[dict[str, str]], dumps: list[list[str]], seeded: bool) -> int:
    """The version of the store in `place`, which is sound, is whole at that version, and goes on to the newest."""
    path, backups = place / "stoker.db", place / "backups"
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert describe(connection) == schemas[version]
        assert [x for x in connection.iterdump() if "INSERT INTO" in x and "keys" not in x] == dumps[version]
    if seeded and version == NEWEST + 1:
        with closing(sqlite3.connect(backups / f"stoker-schema-{NEWEST:04}.db")) as copy:
            assert describe(copy) == schemas[NEWEST]
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert migrate(path, backups) == version
    with closing(sqlite3.connect(path)) as connection:
        assert describe(connection) == schemas[NEWEST + 1]
        assert [x for x in connection.iterdump() if "INSERT INTO" in x and "keys" not in x] == dumps[NEWEST + 1]
    return version
