"""The machine's boot: a clock that no change of the wall clock moves, and a name for the boot itself."""

import time
from pathlib import Path

from app.domain.bill import Instant

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_us() -> int:
    """Microseconds since the machine booted, suspended time included."""
    return time.clock_gettime_ns(_CLOCK) // 1_000


def boot_id() -> str:
    """A name for this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(int(time.time() - time.monotonic()) // 60)


def instant() -> Instant:
    """Now, on both clocks."""
    return Instant(boot_id(), boot_us(), time.time_ns() // 1_000)
