"""Time for the server: UTC for rows, carried by the boot clock so that a jump of the wall clock moves nothing."""

import time

from app.boot import boot_id, boot_us
from app.domain.bill import Instant


class Clock:
    """UTC microseconds that only ever go forward at the pace of the boot clock, set once when the server starts."""

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1_000 - boot_us()

    def now(self) -> int:
        return boot_us() + self._offset

    def instant(self, at: int) -> Instant:
        """The moment that was `at` on this clock."""
        return Instant(boot_id(), at - self._offset, at)
