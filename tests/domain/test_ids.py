"""Identifiers sort by the time at which they were made."""

import re
import time

from app.domain.ids import ulid


def test_they_look_like_ulids_and_differ() -> None:
    ids = {ulid() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", i) for i in ids)


def test_they_sort_by_time() -> None:
    ids, last = list[str](), -1
    while len(ids) < 5:
        now = time.time_ns() // 1_000_000
        if now > last:
            ids.append(ulid())
            last = time.time_ns() // 1_000_000
    assert ids == sorted(ids)
