"""What an engine wrote at the moment of a request, from the directory of the attempt that had it."""

from collections.abc import Mapping
from typing import Any

from app.domain.failures import StokerError
from app.domain.text import safe
from app.settings import Home
from app.store.attempts import AttemptLog

LINES = 12
_READ = 65_536
_SECOND_US = 1_000_000


def log_of_request(home: Home, row: Mapping[str, Any], most: int = LINES) -> list[str]:
    """The last lines, at most `most`, that the engine wrote while it had the request of `row`, safe to show.

    To the second: the times of a log are kept no finer. Empty if no engine had it, or its log is not kept.
    """
    if row["attempt_id"] is None:
        return []
    try:
        log = AttemptLog(home.attempts / row["attempt_id"])
        start = log.offset_at(row["started_at"])
        end = log.offset_at(row["started_at"] + (row["duration_us"] or 0) + _SECOND_US)
        start = max(start, end - _READ)
        data = log.read(start, max(0, end - start)).data if end > start else b""
    except (StokerError, OSError):
        return []
    lines = data.decode("utf-8", "replace").splitlines()
    return [safe(text.rstrip(), 300) for text in lines if text.strip()][-most:]
