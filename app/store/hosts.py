"""Reading what the server has seen of hosts and GPUs."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain.gpus import HostFacts, HostLook, Ours, Reserve, Reserves, Sample, Wanted, together
from app.domain.hosts import LOCAL
from app.domain.stock import Stock

SLOT_US = 5_000_000
"""One sample of a GPU is kept for every step of this length."""
SLOTS = 720
"""An hour of them; a later one takes the place of the one an hour before."""

HELD = """
    SELECT r.host, r.gpu, d.name, sum(r.bytes), min(r.created_at)
    FROM reservations r JOIN deployments d ON d.id = r.deployment_id
    WHERE d.gone_at IS NULL AND CASE
        WHEN r.instance_id IS NOT NULL
        THEN EXISTS (SELECT 1 FROM attempts a WHERE a.instance_id = r.instance_id AND a.ended_at IS NULL)
        ELSE d.wish = 'running' OR EXISTS (
            SELECT 1 FROM attempts a JOIN instances i ON i.id = a.instance_id
            WHERE i.deployment_id = d.id AND a.ended_at IS NULL)
        END
    GROUP BY r.host, r.gpu, d.name
"""
"""Bytes that are set aside now: host, GPU, deployment, sum, and since when."""

Reserved = dict[tuple[str, str], dict[str, Reserve]]
"""The same, by host and GPU and then by the name of the deployment."""

History = Mapping[tuple[str, str], Sequence[Sample]]
"""Samples, oldest first, by the name of the host and the uuid of the GPU."""


def hosts(connection: sqlite3.Connection) -> list[HostFacts]:
    """Every host that was ever looked at and is still configured, this machine first, the others by name."""
    rows = connection.execute("SELECT * FROM host_looks ORDER BY host <> 'local', host").fetchall()
    return [
        HostFacts(
            name=row["host"],
            look=HostLook.from_json(json.loads(row["look"])),
            reserves={
                uuid: {name: Reserve(**reserve) for name, reserve in of.items()}
                for uuid, of in json.loads(row["reserves"]).items()
            },
            since=row["since"],
            answered_at=row["answered_at"],
        )
        for row in rows
    ]


def host(connection: sqlite3.Connection, name: str) -> HostFacts | None:
    """One of them; None where nobody has looked at it yet."""
    return next((facts for facts in hosts(connection) if facts.name == name), None)


def hosts_with_promises(connection: sqlite3.Connection) -> list[HostFacts]:
    """The same, and what is set aside on their GPUs counts as needed, also by those that hold nothing there yet."""
    promised = reserved(connection)

    def needs(facts: HostFacts) -> dict[str, Reserves]:
        held = {gpu: of for (host, gpu), of in promised.items() if host == facts.name}
        return {**facts.reserves, **{gpu: together(facts.reserves.get(gpu, {}), of) for gpu, of in held.items()}}

    return [replace(facts, reserves=needs(facts)) for facts in hosts(connection)]


def stocks(connection: sqlite3.Connection) -> dict[str, Stock]:
    """What each host has in store, by its name, as far as anybody looked."""
    rows = connection.execute("SELECT host, stock FROM host_stocks")
    return {row["host"]: Stock.from_json(json.loads(row["stock"])) for row in rows}


def reserved(connection: sqlite3.Connection) -> Reserved:
    """What is set aside now."""
    return by_gpu(connection.execute(HELD).fetchall())


def by_gpu(rows: Iterable[Sequence[Any]]) -> Reserved:
    """Rows of `HELD` in order."""
    found: Reserved = {}
    for host, gpu, name, size, since in rows:
        found.setdefault((host, gpu), {})[name] = Reserve(size, since)
    return found


def history(connection: sqlite3.Connection, now: int, slots: int = SLOTS) -> History:
    """The samples of the last `slots` steps before `now` (UTC microseconds)."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for row in connection.execute(
        "SELECT * FROM gpu_samples WHERE at > ? ORDER BY at", (now - slots * SLOT_US,)
    ).fetchall():
        sample = Sample(row["at"], row["vram_used"], row["utilization"], row["temperature_c"], row["power_mw"])
        found.setdefault((row["host"], row["uuid"]), []).append(sample)
    return found


def ours(connection: sqlite3.Connection) -> dict[str, Ours]:
    """What runs of ours by the name of its host; also what was given up and has not ended yet.

    An instance's backend is written with its host, `docker@gpu1`, unless that is this machine.
    """
    rows = connection.execute(
        "SELECT i.backend, i.pid, i.container, d.name FROM instances i JOIN deployments d ON d.id = i.deployment_id"
        " LEFT JOIN attempts a ON a.id = i.attempt_id WHERE i.gone_at IS NULL"
        " AND (i.state IN ('pending', 'running') OR a.started_at IS NOT NULL AND a.ended_at IS NULL)"
    ).fetchall()
    places = {row["backend"].partition("@")[2] or LOCAL for row in rows}
    on = {place: [row for row in rows if (row["backend"].partition("@")[2] or LOCAL) == place] for place in places}
    return {
        place: Ours(
            {row["pid"]: row["name"] for row in of if row["pid"] is not None},
            {row["container"]: row["name"] for row in of if row["container"] is not None},
        )
        for place, of in on.items()
    }


def wanted(connection: sqlite3.Connection) -> Wanted:
    """The deployments that are to run: what they need of a GPU is kept for them."""
    rows = connection.execute(
        "SELECT d.name, CASE WHEN EXISTS (SELECT 1 FROM instances i WHERE i.deployment_id = d.id AND i.gone_at IS NULL"
        " AND i.state IN ('pending', 'running') AND i.variant_id <> d.variant_id) THEN '' ELSE d.variant_id END AS runs"
        " FROM deployments d WHERE d.gone_at IS NULL AND d.wish = 'running'"
    )
    return {row["name"]: row["runs"] for row in rows}
