"""What was spent by day as bars, stacked by deployment. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.domain.money import DAY_US, MICRO, round_amount
from app.domain.text import safe
from widgets.plot import legend, stacked
from widgets.spans import Line, Span
from widgets.theme import Glyphs, StyleName

STYLES: tuple[StyleName, ...] = ("accent", "cyan", "green", "dim")
"""The dearest deployments have a style each; all others share the last."""


def chart(
    rows: Sequence[Mapping[str, Any]], today: int, days: int, chosen: int | None, width: int, glyphs: Glyphs
) -> list[Line]:
    """A bar for each of the last `days` UTC days up to `today`, and what stands for which deployment.

    `rows` have `day`, `deployment` and `amount`. `chosen` is the day that is marked.
    """
    first = today - days + 1
    known = [row for row in rows if row["day"] >= first and row["amount"] > 0]
    names = _dearest(known)
    bars: dict[int, list[int]] = {}
    for row in known:
        place = names.index(row["deployment"]) if row["deployment"] in names else len(STYLES) - 1
        bars.setdefault(row["day"], [0] * len(STYLES))[place] += row["amount"]
    top = max((sum(parts) for parts in bars.values()), default=0)
    lines = [_bar(day, bars.get(day, []), top, day == chosen, width, glyphs) for day in range(first, today + 1)]
    others = {row["deployment"] for row in known} - set(names)
    words: list[tuple[str, StyleName]] = [(safe(name, 30), STYLES[n]) for n, name in enumerate(names)]
    if others:
        words.append((f"{len(others)} others", STYLES[-1]))
    return [*lines, [(" ", "plain"), *legend(words, glyphs)]] if words else lines


def _dearest(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    total: dict[str, int] = {}
    for row in rows:
        total[row["deployment"]] = total.get(row["deployment"], 0) + row["amount"]
    return sorted(total, key=lambda name: (-total[name], name))[: len(STYLES) - 1]


def _bar(day: int, parts: Sequence[int], top: int, chosen: bool, width: int, glyphs: Glyphs) -> Line:
    when = datetime.fromtimestamp(day * DAY_US // MICRO, UTC).strftime("%a %b %d")
    amount = round_amount(sum(parts)) if parts else glyphs.unknown
    mark: Span = (glyphs.cursor if chosen else " ", "accent")
    room = max(4, width - len(when) - 14)
    pairs = [(float(part), style) for part, style in zip(parts, STYLES, strict=False)]
    return [mark, (f"{when} ", "dim"), *stacked(pairs, float(top), room, glyphs), (amount.rjust(11), "plain")]
