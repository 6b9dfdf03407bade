"""What the money there is comes to: what is spent as time passes, and for how long the rest will do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from app.domain.money import HOUR_US, time_cost

LOW_US = HOUR_US
VERY_LOW_US = HOUR_US // 4
"""Runway below which a person is warned: 60 and 15 minutes."""


@dataclass(frozen=True, slots=True)
class Meter:
    """How far an attempt has been billed: to `cursor_us` of boot time in `boot_id`, `cursor_at` in UTC microseconds.

    `price` is in micro-units an hour, `carried` what the last division left over.
    """

    attempt_id: str
    deployment_id: str
    price: int
    boot_id: str
    cursor_us: int
    cursor_at: int
    carried: int = 0


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: microseconds of boot time within `boot_id`, and of UTC as the server counts it."""

    boot_id: str
    boot_us: int
    at: int


@dataclass(frozen=True, slots=True)
class Span:
    """What is to be billed of a meter: `us` microseconds from `starts` to `ends`, both UTC and for display only."""

    us: int
    starts: int
    ends: int
    amount: int
    carried: int


def advance(meter: Meter, now: Instant, ended: tuple[int, int | None] | None = None) -> Span:
    """What `meter` has run up until `now`, or until its attempt `ended`: (UTC microseconds, boot time if known).

    Durations are of boot time, which runs on through a suspend and which no change of the wall clock moves. Only what
    another boot began is reckoned in UTC, and then never beyond what can be: from the cursor on, until now.
    """
    if meter.boot_id == now.boot_id:
        until = now.boot_us
        if ended is not None:
            until = min(until, now.boot_us - (now.at - ended[0]) if ended[1] is None else ended[1])
        us = max(0, until - meter.cursor_us)
    else:
        until_at = now.at if ended is None else min(now.at, ended[0])
        us = max(0, until_at - meter.cursor_at)
    amount, carried = time_cost(meter.price, us, meter.carried)
    return Span(us, meter.cursor_at, meter.cursor_at + us, amount, carried)


@dataclass(frozen=True, slots=True)
class Standing:
    """The account at one look, in micro-units: what may be spent, what is held, what has run up and is not booked yet,
    and what an hour costs as things are: all that runs, and use as it was lately. `today` and `month` are what was
    spent since the UTC day and month began."""

    available: int = 0
    held: int = 0
    accrued: int = 0
    burn: int = 0
    today: int = 0
    month: int = 0
    in_use: bool = False

    @property
    def balance(self) -> int:
        """All the money that is left, held or not."""
        return self.available + self.held - self.accrued

    @property
    def runway_us(self) -> int | None:
        """How long the balance lasts; None while nothing is spent."""
        return max(0, self.balance) * HOUR_US // self.burn if self.burn else None

    @property
    def warning(self) -> Literal["", "low", "very low"]:
        """Whether a person should be warned of the runway."""
        runway = self.runway_us
        if runway is None or runway > LOW_US:
            return ""
        return "low" if runway > VERY_LOW_US else "very low"


def accrued(meters: Iterable[Meter], now: Instant) -> int:
    """What open meters have run up and is not booked yet."""
    return sum(advance(meter, now).amount for meter in meters)
