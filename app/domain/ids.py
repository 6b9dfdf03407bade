"""Identifiers: ULIDs, so that sorting by id is sorting by time of creation."""

import os
import threading
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]


class _Maker:
    """Remembers the last ULID, so that of two made in one millisecond the later is the greater (the monotonic variant
    of the ULID specification)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def make(self) -> int:
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
        with self._lock:
            if value >> 80 == self._last >> 80 and value <= self._last:
                value = self._last + 1
            self._last = value
        return value


_maker = _Maker()


def ulid() -> str:
    """A new ULID: 26 Crockford base-32 characters, 48 bits of UTC milliseconds and 80 random bits. Those of one process
    sort in the order in which they were made, unless the clock is set back."""
    value = _maker.make()
    # Two characters at a time: the gateway makes one for every request.
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def first_ulid(at_us: int) -> str:
    """The least ULID of a moment in UTC microseconds: every one made from then on sorts behind it."""
    value = at_us // 1_000 << 80
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
