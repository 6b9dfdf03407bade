"""Time for the server: UTC for rows, carried by the boot clock so that a jump of the wall clock moves nothing."""

import time
from pathlib import Path

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_us() -> int:
    """Microseconds since the machine booted, suspended time included."""
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1_000


def boot_id() -> str:
    """A name for this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(int(time.time() - time.monotonic()) // 60)


class Clock:
    """UTC microseconds that only ever go forward at the pace of the boot clock, set once when the server starts."""

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1_000 - boot_us()

    def now(self) -> int:
        return boot_us() + self._offset
