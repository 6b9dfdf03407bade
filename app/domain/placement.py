"""Where an attempt was placed, and what came of it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.money import format_amount
from app.domain.offers import Offer, Slot


@dataclass(frozen=True, slots=True)
class Placement:
    """What was chosen for an attempt: an offer by its `name` and place, its GPUs by number, and the price of all of it
    for an hour in micro-units."""

    name: str
    backend: str
    host: str | None
    gpus: tuple[int, ...]
    price: int

    @staticmethod
    def of(offer: Offer, slots: Sequence[Slot]) -> "Placement":
        """The placement on these GPUs of an offer."""
        price = offer.cost(len(slots))
        return Placement(offer.name, offer.backend, offer.host, tuple(slot.index for slot in slots), price)

    @property
    def place(self) -> str:
        """Backend and host in one word, as instances have it."""
        return self.backend if self.host is None else f"{self.backend}@{self.host}"

    @property
    def words(self) -> str:
        """`docker@gpu1 RTX 4090 (0, 1) at 0.80 an hour`."""
        gpus = f" ({', '.join(map(str, self.gpus))})" if self.gpus else ""
        return f"{self.name}{gpus} at {format_amount(self.price)} an hour"

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Placement":
        """The inverse of `asdict`. Raises KeyError or TypeError on anything else."""
        return Placement(**{**data, "gpus": tuple(data["gpus"])})


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt: of which instance, where (None if there was no place), and how it failed if it did.

    `delay_us` is how long after that the next attempt began or will, None if there is none. Times are UTC microseconds.
    """

    instance: str
    number: int
    at: int
    placement: Placement | None
    ready_at: int | None
    ended_at: int | None
    code: str | None
    evidence: str
    delay_us: int | None
