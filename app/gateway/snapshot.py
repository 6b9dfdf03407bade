"""What the edge knows of the store: one immutable picture in memory, so that no request waits for a database."""

import json
import sqlite3
from collections.abc import Container, Mapping
from dataclasses import dataclass

from app.domain.facts import Deployment
from app.domain.variant import VariantSpec
from app.store import read


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. `scope` holds ids of deployments, None for all of them. Times are UTC microseconds."""

    id: str
    name: str
    digest: bytes
    scope: frozenset[str] | None
    expires_at: int | None
    revoked_at: int | None

    def covers(self, deployment: Deployment) -> bool:
        """Whether the key may call `deployment`."""
        return self.scope is None or deployment.id in self.scope


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store at `generation`: keys by public part, deployments by name, specs and numbers of variants by id.

    `secrets` maps attempts to the key that their engine asks for; an attempt without one is not in it. `unnamed` are
    ids of deployments with an engine that must not be told the name of its model.
    """

    generation: int
    keys: Mapping[str, Key]
    deployments: Mapping[str, Deployment]
    specs: Mapping[str, VariantSpec]
    numbers: Mapping[str, int]
    secrets: Mapping[str, str]
    unnamed: frozenset[str] = frozenset()

    def callable_by(self, key: Key) -> list[Deployment]:
        """The deployments that `key` may call, by name."""
        return [deployment for deployment in self.deployments.values() if key.covers(deployment)]


def read_generation(connection: sqlite3.Connection) -> int:
    """The counter that the store's triggers move when anything in a snapshot changes."""
    value: int = connection.execute("SELECT value FROM generations WHERE name = 'edge'").fetchone()[0]
    return value


def read_snapshot(connection: sqlite3.Connection, unnamed: Container[str] = ()) -> Snapshot:
    """The store as of one instant, without `secrets`, which are files. `unnamed` are engines that know no names."""
    connection.execute("BEGIN")
    try:
        deployments = read.deployments(connection)
        variants = {d.variant_id for d in deployments} | {i.variant_id for d in deployments for i in d.instances}
        specs = read.specs(connection, sorted(variants))
        return Snapshot(
            generation=read_generation(connection),
            keys={row["id"]: _key(row) for row in read.keys(connection)},
            deployments={d.name: d for d in deployments},
            specs=specs,
            numbers=read.variant_numbers(connection, sorted(variants)),
            secrets={},
            unnamed=frozenset(
                deployment.id
                for deployment in deployments
                for variant in (deployment.variant_id, *(i.variant_id for i in deployment.instances))
                if specs[variant].engine in unnamed
            ),
        )
    finally:
        connection.execute("COMMIT")


def _key(row: sqlite3.Row) -> Key:
    scope = None if row["scope"] is None else frozenset(json.loads(row["scope"]))
    return Key(row["id"], row["name"], row["digest"], scope, row["expires_at"], row["revoked_at"])
