"""Requests that are still to be billed, in the order in which they came into the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

AT_ONCE = 10_000
"""Requests of a deployment that are billed at a time; the rest follow with the next tick."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request used, by our own id of it."""

    id: str
    variant_id: str
    started_at: int
    tokens_in: int
    tokens_out: int
    estimated: int


def unbilled(session: Session, last: Mapping[str, str]) -> dict[str, list[Usage]]:
    """The requests that reached an engine billed by token, by deployment, behind the `last` one of each.

    The order is that of arrival in the store (`rowid`), not of the ids: a request that began early may come in late.
    Such a row is never deleted, so its place stays; a place is found again by its id, which a copied store keeps.
    """
    found: dict[str, list[Usage]] = {}
    connection = session.connection()
    for (deployment_id,) in connection.execute(_DEPLOYMENTS).all():
        values = {"deployment": deployment_id, "last": last.get(deployment_id, ""), "limit": AT_ONCE}
        if rows := [Usage(*row) for row in connection.execute(_AFTER, values)]:
            found[deployment_id] = rows
    return found


_DEPLOYMENTS = text("SELECT DISTINCT deployment_id FROM variants WHERE json_extract(spec, '$.price.basis') = 'token'")
# The sign keeps SQLite from the index by deployment: by row number there is only what is new to look at.
_AFTER = text("""
    SELECT r.id, i.variant_id, r.started_at, r.tokens_in, r.tokens_out, r.estimated
    FROM requests r JOIN instances i ON i.id = r.instance_id JOIN variants v ON v.id = i.variant_id
    WHERE +r.deployment_id = :deployment AND r.attempt_id IS NOT NULL
      AND r.rowid > coalesce((SELECT rowid FROM requests WHERE id = :last), 0)
      AND json_extract(v.spec, '$.price.basis') = 'token'
    ORDER BY r.rowid LIMIT :limit
""")
