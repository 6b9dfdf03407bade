"""Identifiers: ULIDs, so that sorting by id is sorting by time of creation."""

import os
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]


def ulid() -> str:
    """A new ULID: 26 Crockford base-32 characters, 48 bits of UTC milliseconds and 80 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    # Two characters at a time: the gateway makes one for every request.
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def first_ulid(at_us: int) -> str:
    """The least ULID of a moment in UTC microseconds: every one made from then on sorts behind it."""
    value = at_us // 1_000 << 80
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
