"""Offers as documents for scripts and as lines for people, and why none of them matches."""

from collections.abc import Sequence
from typing import Any

from app.domain.money import format_amount
from app.domain.offers import Mismatch, Offer, Wanted, failing
from app.domain.text import safe
from app.render.cells import Cell, Line, line, table
from app.render.hosts import gib
from app.render.words import UNKNOWN


def offer_document(offer: Offer, wanted: Wanted) -> dict[str, Any]:
    """One offer as `offers --json` prints it; memory in bytes, free memory of its freest GPU."""
    return {
        "name": offer.name,
        "backend": offer.backend,
        "host": offer.host,
        "gpu": offer.gpu or None,
        "gpus": len(offer.slots),
        "vram_total": max((slot.total for slot in offer.slots), default=None),
        "vram_free": offer.free(1) if offer.slots else None,
        "memory_free": offer.memory,
        "region": offer.region,
        "tier": offer.tier,
        "price_per_hour_micro": offer.cost(wanted.gpus),
        "trouble": offer.trouble,
        "removed_by": list(failing(offer, wanted)),
    }


def offer_table(ranked: Sequence[Offer], others: Sequence[Offer], wanted: Wanted) -> list[Line]:
    """What `offers` shows: those that match, in the order in which they would be tried, then the others and why not."""
    body = [_row(str(at), offer, wanted) for at, offer in enumerate(ranked, 1)]
    body += [_row(UNKNOWN, offer, wanted) for offer in others]
    return table(("", "WHERE", "GPU", "FREE", "REGION", "TIER", "PER HOUR", "WHY NOT"), body)


def _row(rank: str, offer: Offer, wanted: Wanted) -> tuple[Cell | str, ...]:
    why = (offer.trouble and safe(offer.trouble, 60)) or ", ".join(failing(offer, wanted))
    room = offer.free(max(1, wanted.gpus)) if offer.slots else offer.memory
    return (
        rank,
        offer.place,
        f"{len(offer.slots)} × {offer.gpu or UNKNOWN}" if offer.slots else UNKNOWN,
        gib(room),
        offer.region or UNKNOWN,
        offer.tier or UNKNOWN,
        format_amount(offer.cost(wanted.gpus)),
        Cell(why, "look") if why else "",
    )


def mismatch_lines(found: Mismatch) -> list[Line]:
    """A row a constraint: how many offers it removes, and how many nothing else would; then what would help."""
    if not found.offers:
        return [line("There are no offers.")]
    rows = [(each.constraint, f"{each.removed} of {found.offers}", str(each.alone)) for each in found.removals]
    lines = table(("CONSTRAINT", "REMOVES", "ALONE"), rows)
    return [*lines, (), line(f"{found.change}." if found.change else "No change of these would help.")]
