"""Writing API keys: made, revoked, rotated. The gateway follows within a second, by the `edge` generation.

Each function is called inside a `Store.write()` block.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from app.domain.failures import StokerError
from app.domain.keys import RANDOM_BYTES, NewKey, make_key
from app.domain.text import clean_text
from app.store.tables import Deployment, Key
from app.store.wishes import find, now_us

NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Made:
    """A new key at the only moment its text is known. `scope` are names of deployments, None for all."""

    key: NewKey
    scope: tuple[str, ...] | None
    expires_at: int | None

    def to_json(self) -> dict[str, object]:
        """The document of `keys create --json`."""
        scope = None if self.scope is None else list(self.scope)
        return {"id": self.key.id, "key": self.key.text, "scope": scope, "expires_at": self.expires_at}


def create(session: Session, name: str, deployments: Sequence[str], expires_at: int | None) -> Made:
    """A key for the deployments of these names, for all and every later one if there are none. Raises NOT_FOUND."""
    ids = [find(session, deployment).id for deployment in deployments]
    made = Made(make_key(os.urandom(RANDOM_BYTES)), tuple(deployments) or None, expires_at)
    session.add(_row(made.key, clean_text(name, NAME_LIMIT), json.dumps(ids) if ids else None, expires_at))
    return made


def revoke(session: Session, key_id: str) -> None:
    """End a key now; a key that was revoked stays so. Requests in flight finish. Raises NOT_FOUND."""
    row = _find(session, key_id)
    if row.revoked_at is None:
        row.revoked_at = now_us()
        session.add(row)


def rotate(session: Session, key_id: str, grace_us: int) -> Made:
    """A new key of the same name, scope and length of life; the old one ends after `grace_us`.

    Raises NOT_FOUND, and AUTH_REVOKED_TOKEN for a key that has ended already.
    """
    row, now = _find(session, key_id), now_us()
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        raise StokerError("AUTH_REVOKED_TOKEN", f"The key {key_id} has ended already.")
    if row.rotated_to is not None:
        raise StokerError("AUTH_REVOKED_TOKEN", f"The key {key_id} was rotated already, to {row.rotated_to}.")
    expires_at = None if row.expires_at is None else now + row.expires_at - row.created_at
    new = make_key(os.urandom(RANDOM_BYTES))
    session.add(_row(new, row.name, row.scope, expires_at))
    session.flush()
    row.rotated_to = new.id
    row.expires_at = min(filter(None, (row.expires_at, now + grace_us)))
    session.add(row)
    return Made(new, _names(session, row.scope), expires_at)


def _row(key: NewKey, name: str, scope: str | None, expires_at: int | None) -> Key:
    return Key(id=key.id, name=name, digest=key.digest, scope=scope, created_at=now_us(), expires_at=expires_at)


def _find(session: Session, key_id: str) -> Key:
    row = session.get(Key, key_id)
    if row is None:
        raise StokerError("NOT_FOUND", f"There is no key `{key_id}`.", "List them: `stoker keys ls`.")
    return row


def _names(session: Session, scope: str | None) -> tuple[str, ...] | None:
    if scope is None:
        return None
    rows = [session.get(Deployment, deployment_id) for deployment_id in json.loads(scope)]
    return tuple(row.name for row in rows if row is not None and row.gone_at is None)
