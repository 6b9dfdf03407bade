"""Where attempts were placed, as documents for scripts and as lines for people: offer, price, error, next delay."""

from collections.abc import Sequence
from typing import Any

from app.domain.money import format_amount
from app.domain.placement import Tried
from app.render.cells import Cell, Line, table
from app.render.words import UNKNOWN, clock, span


def placement_documents(found: Sequence[Tried]) -> list[dict[str, Any]]:
    """The attempts of `show --json` for a deployment that may run anywhere, oldest first."""
    return [
        {
            "instance": each.instance,
            "attempt": each.number,
            "at": each.at,
            "offer": each.placement.name if each.placement else None,
            "gpus": list(each.placement.gpus) if each.placement else [],
            "price_per_hour_micro": each.placement.price if each.placement else None,
            "ready_at": each.ready_at,
            "ended_at": each.ended_at,
            "code": each.code,
            "evidence": each.evidence,
            "next_after_us": each.delay_us,
        }
        for each in found
    ]


def placement_lines(found: Sequence[Tried], now: int) -> list[Line]:
    """A row an attempt: where it went, for how much, what came of it, and how soon the next one followed."""
    return table(
        ("AT", "INSTANCE", "ATTEMPT", "OFFER", "PER HOUR", "NEXT", "OUTCOME"), [_row(each, now) for each in found]
    )


def _row(each: Tried, now: int) -> tuple[Cell | str, ...]:
    place = each.placement
    return (
        clock(each.at, now),
        each.instance,
        str(each.number),
        place.name if place else UNKNOWN,
        format_amount(place.price) if place else UNKNOWN,
        UNKNOWN if each.delay_us is None else f"after {span(each.delay_us)}",
        _outcome(each),
    )


def _outcome(each: Tried) -> Cell:
    if each.code is not None:
        return Cell(f"{each.code}: {each.evidence}" if each.evidence else each.code, "bad")
    if each.ended_at is not None:
        return Cell("ended", "dim")
    return Cell("serves", "good") if each.ready_at is not None else Cell("under way", "busy")
