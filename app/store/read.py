"""Read access to the store: plain sqlite3, so that a command that only looks starts fast, and facts as dataclasses."""

import difflib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from app.domain.facts import Attempt, Deployment, Instance
from app.domain.failures import StokerError
from app.domain.fleet import Fetched
from app.domain.ids import first_ulid
from app.domain.lifecycle import Phase, State
from app.domain.placement import Placement
from app.domain.variant import VariantSpec
from app.store.migrate import read_version, schema_version
from app.store.sqlite import connect_reader, translate

Row = sqlite3.Row
T = TypeVar("T")
D = TypeVar("D")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A consistent view of the store for the length of the block.

    Raises NOT_FOUND when there is no store yet, SERVER_OLDER and STORE_NEWER for a schema that is not ours.
    """
    if not path.exists():
        raise StokerError("NOT_FOUND", "There is nothing yet.", "Launch something: `stoker launch smollm2`.")
    try:
        connection = connect_reader(path)
    except sqlite3.Error as error:
        raise translate(error) from error
    try:
        version = read_version(connection)
        if version == 0:
            raise StokerError("NOT_FOUND", "There is nothing yet.", "Launch something: `stoker launch smollm2`.")
        if version < schema_version():
            raise StokerError("SERVER_OLDER", f"The store has schema {version}, this stoker reads {schema_version()}.")
        connection.execute("BEGIN")
        yield connection
    except sqlite3.Error as error:
        raise translate(error) from error
    finally:
        connection.close()


def read_or(path: Path, look: Callable[[sqlite3.Connection], T], otherwise: D) -> T | D:
    """What `look` finds in the store; `otherwise` where there is none yet, or none of our schema so far.

    Raises what else `reading` raises.
    """
    try:
        with reading(path) as connection:
            return look(connection)
    except StokerError as error:
        if error.code not in ("NOT_FOUND", "SERVER_OLDER"):
            raise
        return otherwise


def deployments(connection: sqlite3.Connection, name: str | None = None) -> list[Deployment]:
    """Deployments that are not gone (only `name` if given), by name, each with its instances."""
    where, values = ("AND name = ?", [name]) if name is not None else ("", [])
    rows = connection.execute(
        f"SELECT * FROM deployments WHERE gone_at IS NULL {where} ORDER BY name",  # noqa: S608 # a constant
        values,
    ).fetchall()
    by_deployment: dict[str, list[Instance]] = {row["id"]: [] for row in rows}
    current = {row["id"]: _attempt(row) for row in connection.execute(_CURRENT_ATTEMPTS)}
    for row in connection.execute(_INSTANCES):
        if row["deployment_id"] in by_deployment:
            by_deployment[row["deployment_id"]].append(_instance(row, current))
    return [_deployment(row, by_deployment[row["id"]]) for row in rows]


def deployment(connection: sqlite3.Connection, name: str) -> Deployment:
    """The deployment called `name`. Raises NOT_FOUND, naming the nearest."""
    if found := deployments(connection, name):
        return found[0]
    names = [row["name"] for row in connection.execute("SELECT name FROM deployments WHERE gone_at IS NULL")]
    raise StokerError("NOT_FOUND", f"There is no deployment `{name}`.", _nearest(name, names))


def variants(connection: sqlite3.Connection, deployment_id: str) -> list[tuple[str, int, VariantSpec, int]]:
    """The variants of a deployment, oldest first: (id, number, spec, created_at)."""
    rows = connection.execute("SELECT * FROM variants WHERE deployment_id = ? ORDER BY number", (deployment_id,))
    return [(r["id"], r["number"], VariantSpec.from_json(json.loads(r["spec"])), r["created_at"]) for r in rows]


def specs(connection: sqlite3.Connection, variant_ids: Sequence[str]) -> dict[str, VariantSpec]:
    """The specs of the given variants, by id."""
    marks = ",".join("?" * len(variant_ids))
    rows = connection.execute(
        f"SELECT id, spec FROM variants WHERE id IN ({marks})",  # noqa: S608 # only question marks
        list(variant_ids),
    )
    return {row["id"]: VariantSpec.from_json(json.loads(row["spec"])) for row in rows}


def variant_numbers(connection: sqlite3.Connection, variant_ids: Sequence[str]) -> dict[str, int]:
    """The numbers that people know the given variants by, by id."""
    marks = ",".join("?" * len(variant_ids))
    rows = connection.execute(
        f"SELECT id, number FROM variants WHERE id IN ({marks})",  # noqa: S608 # only question marks
        list(variant_ids),
    )
    return {row["id"]: row["number"] for row in rows}


def attempts(connection: sqlite3.Connection, instance_id: str) -> list[Attempt]:
    """Every attempt of an instance, oldest first."""
    rows = connection.execute("SELECT * FROM attempts WHERE instance_id = ? ORDER BY number", (instance_id,))
    return [_attempt(row) for row in rows]


def events(connection: sqlite3.Connection, deployment_id: str, after: int = 0) -> list[Row]:
    """The timeline of a deployment, oldest first, from the event after `after`."""
    return connection.execute(
        "SELECT * FROM events WHERE deployment_id = ? AND id > ? ORDER BY id", (deployment_id, after)
    ).fetchall()


def events_before(connection: sqlite3.Connection, deployment_id: str, newest: int) -> int:
    """The id of the event in front of the `newest` last ones of a deployment, 0 if there are no more than those."""
    row = connection.execute(
        "SELECT id FROM events WHERE deployment_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (deployment_id, newest)
    ).fetchone()
    return 0 if row is None else int(row["id"])


def keys(connection: sqlite3.Connection) -> list[Row]:
    """Every key ever made, oldest first."""
    return connection.execute("SELECT * FROM keys ORDER BY created_at, id").fetchall()


_REQUESTS = (
    "SELECT r.*, d.name AS deployment, i.name AS instance, k.name AS key, json_extract(v.spec, '$.price') AS price"
    " FROM requests r LEFT JOIN deployments d ON d.id = r.deployment_id LEFT JOIN instances i ON i.id = r.instance_id"
    " LEFT JOIN variants v ON v.id = i.variant_id LEFT JOIN keys k ON k.id = r.key_id"
)
"""Requests, each with the names of what it concerned and the price of its variant, as far as they are known."""


def requests_with(connection: sqlite3.Connection, request_id: str) -> list[Row]:
    """The requests that carried `request_id` (the client's) or have it as our own id, newest first."""
    where = " WHERE r.request_id = ?1 OR r.id = ?1 ORDER BY r.id DESC"
    return connection.execute(_REQUESTS + where, (request_id,)).fetchall()


def requests_in_trouble(connection: sqlite3.Connection, deployment_id: str, limit: int) -> list[Row]:
    """The last requests of a deployment that were refused or failed, newest first."""
    where = " WHERE r.deployment_id = ? AND r.code IS NOT NULL ORDER BY r.started_at DESC LIMIT ?"
    return connection.execute(_REQUESTS + where, (deployment_id, limit)).fetchall()


def latest_requests(connection: sqlite3.Connection, limit: int) -> list[Row]:
    """The last requests through the gateway, newest first, refused ones among them."""
    return connection.execute(_REQUESTS + " ORDER BY r.id DESC LIMIT ?", (limit,)).fetchall()


def refusals(connection: sqlite3.Connection, since: int) -> list[Row]:
    """What went wrong since `since` (UTC microseconds), the most frequent first: `code`, `deployment` (a name or None),
    `count`, and when it was `last`."""
    return connection.execute(
        "SELECT r.code, d.name AS deployment, count(*) AS count, max(r.started_at) AS last FROM requests r"
        " LEFT JOIN deployments d ON d.id = r.deployment_id WHERE r.id >= ? AND r.code IS NOT NULL"
        " GROUP BY r.code, r.deployment_id ORDER BY count(*) DESC, max(r.started_at) DESC",
        (first_ulid(since),),
    ).fetchall()


def fetches(connection: sqlite3.Connection) -> dict[str, Fetched]:
    """Weights that are being fetched, by the id of their variant."""
    rows = connection.execute(
        "SELECT json_extract(payload, '$.variant_id') AS variant_id, json_extract(progress, '$.done') AS done,"
        " json_extract(progress, '$.total') AS total, json_extract(progress, '$.rate') AS rate FROM jobs"
        " WHERE state IN ('queued', 'running') AND kind = 'fetch'"
    )
    return {
        row["variant_id"]: Fetched(row["done"], row["total"], row["rate"] or 0)
        for row in rows
        if row["variant_id"] and row["total"]
    }


def lease(connection: sqlite3.Connection) -> Row | None:
    """The server's lease, if a server ever ran."""
    row: Row | None = connection.execute("SELECT * FROM lease WHERE name = 'server'").fetchone()
    return row


def setting(connection: sqlite3.Connection, key: str) -> Any:
    """A value of the settings table, None if it is not set."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row["value"])


_INSTANCES = """
    SELECT i.*, coalesce(d.generation >= i.drain_generation, 0) AS drained
    FROM instances i LEFT JOIN drains d ON d.instance_id = i.id WHERE i.gone_at IS NULL ORDER BY i.id
"""
_CURRENT_ATTEMPTS = "SELECT a.* FROM attempts a JOIN instances i ON i.attempt_id = a.id WHERE i.gone_at IS NULL"
_ATTEMPT_COLUMNS = [f.name for f in fields(Attempt) if f.name != "placement"]
_INSTANCE_COLUMNS = [f.name for f in fields(Instance) if f.name not in ("attempt", "drained")]


def _instance(row: Row, attempts: dict[str, Attempt]) -> Instance:
    values = {name: row[name] for name in _INSTANCE_COLUMNS}
    values |= {"state": State(row["state"]), "phase": Phase(row["phase"]), "served": bool(row["served"])}
    return Instance(**values, drained=bool(row["drained"]), attempt=attempts.get(row["attempt_id"]))


def _attempt(row: Row) -> Attempt:
    placement = None if row["placement"] is None else Placement.from_json(json.loads(row["placement"]))
    return Attempt(**{name: row[name] for name in _ATTEMPT_COLUMNS}, placement=placement)


def _deployment(row: Row, instances: list[Instance]) -> Deployment:
    columns = [f.name for f in fields(Deployment) if f.name != "instances"]
    values = {name: row[name] for name in columns}
    values["stop_now"], values["forget"] = bool(row["stop_now"]), bool(row["forget"])
    return Deployment(**values, instances=tuple(instances))


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"Did you mean `{near[0]}`?" if near else "List them: `stoker ps`."
