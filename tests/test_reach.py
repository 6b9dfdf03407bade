"""Writing down what no server has to act on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.processes import down_marker, holder
from app.reach import noting
from app.settings import Home
from app.store.migrate import schema_version
from app.store.read import reading, setting
from app.store.tables import Setting
from tests.screens.homes import empty_home


def test_it_is_written_without_a_server(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    down_marker(home).touch()
    with noting(home) as session:
        session.add(Setting(key="a", value="1"))
    with reading(home.store) as connection:
        assert setting(connection, "a") == 1
    assert holder(home.server_lock) is None
    assert down_marker(home).exists(), "a server that was taken down stays down"


def test_nothing_is_written_where_it_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(StokerError, match="NOT_FOUND"), noting(Home(tmp_path, tmp_path)):
        pass
    home = empty_home(tmp_path)
    for version, code in ((schema_version() - 1, "SERVER_OLDER"), (schema_version() + 1, "STORE_NEWER")):
        with closing(sqlite3.connect(home.store)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(StokerError, match=code), noting(home) as session:
            session.add(Setting(key="a", value="1"))
