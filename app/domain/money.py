"""Amounts of money: integers of a millionth of the account's currency, from the text that people write to the bill.

Nothing here is ever a fraction of a machine's making: a price times a quantity is divided once, and what the division
leaves over is carried to the next one, so that a bill of a thousand parts is the bill of the whole.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from app.domain.text import safe

MICRO = 1_000_000
"""Micro-units of one unit of the currency."""
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MOST = 1_000_000_000 * MICRO
"""No amount that people write is larger: a billion. A hundred thousand of them still fit into 64 bits."""
_PLACES = 6
_PARTS = HOUR_US // MICRO
"""A price of a million tokens has this many times fewer parts of a micro-unit than one of an hour."""
_AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,12}))?")

Basis = Literal["second", "use", "token"]
"""What is billed: every second of a replica, those in which it answers somebody, or tokens."""


class Micro(int):
    """An amount in micro-units, as a type of its own for settings."""


def parse_amount(text: str) -> int:
    """Micro-units of an amount such as `25` or `0.004`. Raises ValueError with a sentence to show.

    Strict: digits, and a point with up to six more. No sign, separator, exponent, space or currency, since each of them
    is read differently by somebody.
    """
    shown = safe(text, 40)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"`{shown}` is no amount; write it as 25 or 0.50, with a point and nothing else.")
    whole, places = match[1], match[2] or ""
    if len(places) > _PLACES:
        raise ValueError(f"`{shown}` has more than {_PLACES} places; a millionth is the smallest amount.")
    amount = int(whole) * MICRO + int(places.ljust(_PLACES, "0"))
    if amount > MOST:
        raise ValueError(f"`{shown}` is too much; {MOST // MICRO:,} is the most.")
    return amount


def format_amount(amount: int, places: int = 2) -> str:
    """An amount to the last place that is not zero, and to `places` at least: `41.20`, `0.000417`, `-3.00`."""
    whole, rest = divmod(abs(amount), MICRO)
    digits = f"{rest:06}".rstrip("0").ljust(places, "0")
    return f"{'-' if amount < 0 else ''}{whole}" + (f".{digits}" if digits else "")


def round_amount(amount: int, places: int = 2) -> str:
    """An amount to exactly `places` (6 at most), towards zero: for where precision distracts, never more than there is.

    What is too small for that shows its first place that is not zero.
    """
    exact = format_amount(abs(amount), _PLACES)
    whole, _, digits = exact.partition(".")
    if int(whole) == 0 and not digits[:places].strip("0"):
        places = len(digits) - len(digits.lstrip("0")) + 1 if digits.strip("0") else places
    shown = f"{whole}.{digits[:places]}"
    return f"-{shown}" if amount < 0 else shown


@dataclass(frozen=True, slots=True)
class Price:
    """What a variant costs, locked when it was launched, in micro-units.

    `hour` is for one replica and hour; `token_in` and `token_out` are for a million tokens. `basis` says which of them
    is billed, and of which seconds. `from_start` bills every second from the start of an attempt, as some hosts do,
    instead of from its readiness.
    """

    hour: int = 0
    token_in: int = 0
    token_out: int = 0
    basis: Basis = "second"
    from_start: bool = False

    @property
    def by_hour(self) -> int:
        """What a replica costs an hour at most, 0 if only its tokens are billed."""
        return self.hour if self.basis != "token" else 0

    @property
    def by_idle_hour(self) -> int:
        """What a replica costs an hour for being there, used or not."""
        return self.hour if self.basis == "second" else 0

    def placed(self, hour: int | None) -> "Price":
        """The same for a replica that was placed where an hour costs `hour`; this one for None."""
        return self if hour is None else replace(self, hour=hour)

    @property
    def free(self) -> bool:
        """Whether nothing is ever billed."""
        return not (self.hour if self.basis != "token" else self.token_in or self.token_out)


FREE = Price()


def time_cost(per_hour: int, us: int, carried: int) -> tuple[int, int]:
    """(micro-units, what is carried on) for `us` microseconds at a price an hour, with what was carried so far.

    What is carried is in parts of 1/3,600,000,000 micro-unit. Raises ValueError for a negative duration.
    """
    if us < 0:
        raise ValueError(f"a duration of {us} us cannot be billed")
    return divmod(per_hour * us + carried, HOUR_US)


def token_cost(price: Price, tokens_in: int, tokens_out: int, carried: int) -> tuple[int, int]:
    """(micro-units, what is carried on) for tokens, with what was carried so far, both in the parts of `time_cost`."""
    return divmod((price.token_in * tokens_in + price.token_out * tokens_out) * _PARTS + carried, HOUR_US)


def request_cost(price: Price, tokens_in: int, tokens_out: int) -> int:
    """What one request costs by itself, to the nearest micro-unit; 0 where the time of a replica is billed instead."""
    if price.basis != "token":
        return 0
    return token_cost(price, tokens_in, tokens_out, HOUR_US // 2)[0]
