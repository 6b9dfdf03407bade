"""Identifiers: ULIDs, so that sorting by id is sorting by time of creation."""

import os
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """A new ULID: 26 Crockford base-32 characters, 48 bits of UTC milliseconds and 80 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def first_ulid(at_us: int) -> str:
    """The least ULID of a moment in UTC microseconds: every one made from then on sorts behind it."""
    value = at_us // 1_000 << 80
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
