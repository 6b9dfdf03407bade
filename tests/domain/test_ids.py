"""Identifiers sort by the time at which they were made."""

import re
import time

from app.domain.ids import first_ulid, ulid


def test_they_look_like_ulids_and_differ() -> None:
    ids = {ulid() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", i) for i in ids)


def test_they_sort_as_they_were_made_even_in_one_millisecond() -> None:
    ids = [ulid() for _ in range(2_000)]
    assert ids == sorted(ids)


def test_the_first_of_a_moment_parts_earlier_from_later() -> None:
    before = ulid()
    at = time.time_ns() // 1_000
    assert before[:10] <= first_ulid(at)[:10] <= ulid()[:10]
    assert first_ulid(at) < first_ulid(at + 1_000)
    assert first_ulid(at).endswith("0" * 16)
    assert len(first_ulid(at)) == 26
