"""The whole installation at one look: rows of the store, and who holds which lock."""

import time

from app.boot import boot_id, boot_us
from app.domain.fleet import Fleet, Freshness, freshness, process_state
from app.processes import holder
from app.settings import Home
from app.store import read
from app.store.findings import latest_milestones


def look(home: Home, name: str | None = None) -> Fleet:
    """All deployments, or only the one called `name`. Raises what `read.reading` raises, and NOT_FOUND for the one."""
    with read.reading(home.store) as connection:
        found = read.deployments(connection) if name is None else [read.deployment(connection, name)]
        variants = {d.variant_id for d in found} | {i.variant_id for d in found for i in d.instances}
        specs = read.specs(connection, sorted(variants))
        lease = read.lease(connection)
        fetches = read.fetches(connection)
        milestones = latest_milestones(connection)
    beat = None if lease is None else (lease["boot_id"], lease["beat"])
    return Fleet(found, specs, _judge(home, beat), endpoint(home), time.time_ns() // 1_000, fetches, milestones)


def endpoint(home: Home) -> str | None:
    """The base URL that clients use, None while no gateway listens."""
    url = (holder(home.gateway_lock) or {}).get("url")
    return f"{url}/v1" if isinstance(url, str) else None


def _judge(home: Home, beat: tuple[str, int] | None) -> Freshness:
    return freshness(process_state(holder(home.server_lock)), beat, boot_id(), boot_us(), time.time_ns() // 1_000)
