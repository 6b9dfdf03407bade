"""Who asks: the key of a request, checked against the snapshot."""

import hmac
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from app.domain.keys import digest
from app.gateway.errors import EdgeError
from app.gateway.snapshot import Key, Snapshot

_BEARER = re.compile(rb"[Bb]earer +(\S+) *")
_FORM = re.compile(rb"stk_([0-9A-Za-z]{8})_[0-9A-Za-z]{49}")
_NO_DIGEST = bytes(32)


def authenticate(snapshot: Snapshot, authorization: Sequence[bytes]) -> Key:
    """The key named by the `Authorization` headers of a request.

    Raises AUTH_MISSING_TOKEN without one, AUTH_INVALID_TOKEN for any that does not match in full (also the wrong
    secret of a revoked key: who does not know it learns nothing about it), AUTH_REVOKED_TOKEN for ours that ended.
    """
    if not authorization:
        raise EdgeError("AUTH_MISSING_TOKEN")
    bearer = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
    form = _FORM.fullmatch(bearer[1]) if bearer else None
    if bearer is None or form is None:
        raise EdgeError("AUTH_INVALID_TOKEN")
    key = snapshot.keys.get(form[1].decode())
    # Compared also when there is no such key, so that the time taken does not tell which public parts exist.
    if not hmac.compare_digest(digest(bearer[1]), key.digest if key else _NO_DIGEST) or key is None:
        raise EdgeError("AUTH_INVALID_TOKEN")
    now = time.time_ns() // 1000
    if key.revoked_at is not None and key.revoked_at <= now:
        raise EdgeError("AUTH_REVOKED_TOKEN", "The key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        at = datetime.fromtimestamp(key.expires_at // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
        raise EdgeError("AUTH_REVOKED_TOKEN", f"The key expired at {at}.", detail={"expired_at": at})
    return key
