"""Keeping attempts' logs within their quota: the oldest ended ones go, the first failure of a streak stays."""

import logging
import shutil
from contextlib import closing, suppress
from pathlib import Path

from app.settings import Home
from app.store.sqlite import connect_reader

log = logging.getLogger(__name__)


def prune(home: Home, quota: int) -> None:
    """Delete directories of released attempts, oldest first, until all of them together take at most `quota` bytes.

    The first failed attempt of a streak is kept whatever it takes.
    """
    with closing(connect_reader(home.store)) as connection:
        rows = connection.execute("SELECT id FROM attempts WHERE released_at IS NOT NULL AND kept = 0 ORDER BY id")
        candidates = [home.attempts / row["id"] for row in rows]
    total = sum(size(path) for path in home.attempts.iterdir() if path.is_dir())
    for path in candidates:
        if total <= quota:
            return
        if path.exists():
            total -= size(path)
            shutil.rmtree(path, ignore_errors=True)
            log.info("dropped the log of attempt %s: over the quota of %d bytes", path.name, quota)


def size(directory: Path) -> int:
    """Bytes in the files of an attempt's directory. A log that is rotated meanwhile may be missed, or met twice."""
    total = 0
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
