"""A home with a store, filled row by row: what the server would have written for the gateway to read."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.domain.ids import ulid
from app.domain.keys import RANDOM_BYTES, NewKey, make_key
from app.domain.variant import ModelRef, VariantSpec
from app.settings import Home
from app.store.migrate import migrate

Values = dict[str, Any]


class Store:
    """Rows of one home, written with plain SQL."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root, root)
        self.home.make()

    def create(self) -> "Store":
        """Create the empty store; before that, the gateway has nothing to read."""
        migrate(self.home.store, self.home.backups)
        return self

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction."""
        with closing(sqlite3.connect(self.home.store, isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def execute(self, sql: str, *values: object) -> None:
        """One statement in a transaction of its own."""
        with self.writing() as connection:
            connection.execute(sql, values)

    def rows(self, sql: str, *values: object) -> list[Values]:
        """What a query finds, as dictionaries."""
        with closing(sqlite3.connect(self.home.store, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def requests(self) -> list[Values]:
        """The rows of requests that reached an engine, oldest first."""
        return self.rows("SELECT * FROM requests WHERE attempt_id IS NOT NULL ORDER BY id")

    def refused(self) -> list[Values]:
        """The rows of requests that did not, oldest first."""
        return self.rows("SELECT * FROM requests WHERE attempt_id IS NULL ORDER BY id")

    def generation(self) -> int:
        """What the triggers have counted for the edge."""
        value: int = self.rows("SELECT value FROM generations WHERE name = 'edge'")[0]["value"]
        return value

    def deployment(
        self, name: str = "demo", *, context: int = 4096, seqs: int = 4, wish: str = "running",
        engine: str = "llama.cpp",
    ) -> str:  # fmt: skip
        """A deployment with one variant; its id."""
        deployment_id, variant_id = ulid(), ulid()
        spec = VariantSpec(ModelRef(name, "file", f"/models/{name}.gguf"), engine, "process", context, seqs, "f16")
        with self.writing() as connection:
            _insert(
                connection, "deployments", id=deployment_id, name=name, wish=wish, wish_at=_now(), replicas=1,
                variant_id=variant_id, status="REQUESTED", created_at=_now(),
            )  # fmt: skip
            _insert(
                connection, "variants", id=variant_id, deployment_id=deployment_id, number=1,
                spec=json.dumps(spec.to_json()), created_at=_now(),
            )  # fmt: skip
        return deployment_id

    def instance(
        self, deployment_id: str, endpoint: str | None, *, state: str = "running", phase: str = "serving",
        secret: str | None = None, **more: object,
    ) -> str:  # fmt: skip
        """An instance with one attempt, serving at `endpoint`; its id. `secret` is what its engine asks for."""
        instance_id, attempt_id = ulid(), ulid()
        (row,) = self.rows("SELECT variant_id, name FROM deployments WHERE id = ?", deployment_id)
        name = f"{row['name']}-{instance_id[-6:].lower()}"
        directory = self.home.attempts / attempt_id
        directory.mkdir(mode=0o700)
        if secret is not None:
            (directory / "key").write_text(f"{secret}\n")
        with self.writing() as connection:
            _insert(
                connection, "instances", id=instance_id, deployment_id=deployment_id, variant_id=row["variant_id"],
                name=name, backend="process", state=state, phase=phase, since=_now(), endpoint=endpoint,
                created_at=_now(), **more,
            )  # fmt: skip
            _insert(
                connection, "attempts", id=attempt_id, instance_id=instance_id, number=1, epoch=1, created_at=_now(),
            )  # fmt: skip
            connection.execute("UPDATE instances SET attempt_id = ? WHERE id = ?", (attempt_id, instance_id))
        return instance_id

    def key(self, *scope: str, expires_at: int | None = None, revoked_at: int | None = None) -> NewKey:
        """A key for the given deployment ids, for all of them without any."""
        key = make_key(os.urandom(RANDOM_BYTES))
        with self.writing() as connection:
            _insert(
                connection, "keys", id=key.id, name="test", digest=key.digest, created_at=_now(),
                scope=json.dumps(scope) if scope else None, expires_at=expires_at, revoked_at=revoked_at,
            )  # fmt: skip
        return key


def _insert(connection: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608 # names are written above
    connection.execute(sql, tuple(values.values()))


def _now() -> int:
    return time.time_ns() // 1000
