"""What flex deployments are billed for: the seconds in which a replica answered somebody, or tokens. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from app.domain.money import Price, time_cost, token_cost

Span = tuple[int, int]
"""From and until, in UTC microseconds, half-open."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request used, by our own id of it. It was answered from `started_at` on, for `duration_us`."""

    id: str
    attempt_id: str
    started_at: int
    duration_us: int
    tokens_in: int
    tokens_out: int
    estimated: int

    @property
    def span(self) -> Span:
        """When it was answered."""
        return self.started_at, self.started_at + self.duration_us


@dataclass(frozen=True, slots=True)
class Bill:
    """What requests come to: `quantity` is microseconds or tokens, `price` that of an hour, None for tokens."""

    unit: Literal["us", "tokens"]
    requests: Sequence[Usage]
    quantity: int
    amount: int
    attempt_id: str | None = None
    price: int | None = None


def bills(
    requests: Sequence[Usage],
    price_of: Callable[[str], Price],
    before: Callable[[str, int], Iterable[Span]],
    carried: int,
) -> tuple[list[Bill], int]:
    """What new `requests` of a deployment, in the order of their arrival, come to; and what the last division left.

    `price_of` knows the price of an attempt. `before` knows when an attempt's requests that were billed already were
    answered, those that ended after a moment at least.
    """
    found: list[Bill] = []
    by_token = [request for request in requests if price_of(request.attempt_id).basis == "token"]
    amount = 0
    for request in by_token:
        more, carried = token_cost(price_of(request.attempt_id), request.tokens_in, request.tokens_out, carried)
        amount += more
    if by_token:
        found.append(Bill("tokens", by_token, sum(r.tokens_in + r.tokens_out for r in by_token), amount))
    for attempt_id, some in _by_attempt(requests, price_of):
        hour = price_of(attempt_id).hour
        us = busy([request.span for request in some], before(attempt_id, min(request.started_at for request in some)))
        amount, carried = time_cost(hour, us, carried)
        found.append(Bill("us", some, us, amount, attempt_id, hour))
    return found, carried


def busy(new: Sequence[Span], before: Iterable[Span]) -> int:
    """The microseconds of `new` spans together that no other of them and none of those `before` covers."""
    known = list(before)
    return _covered([*known, *new]) - _covered(known)


def _covered(spans: Iterable[Span]) -> int:
    total, until = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total


def _by_attempt(requests: Iterable[Usage], price_of: Callable[[str], Price]) -> Iterator[tuple[str, list[Usage]]]:
    """The requests that are billed by the second of use, by attempt. One that an engine did nothing for used none."""
    timed = [r for r in requests if price_of(r.attempt_id).basis == "use" and r.tokens_in + r.tokens_out]
    for attempt_id, some in groupby(sorted(timed, key=lambda r: r.attempt_id), key=lambda r: r.attempt_id):
        yield attempt_id, list(some)
