"""What the launch form says beside its fields: how far its checks are, the checks, and what it would cost."""

import shlex
import textwrap
from collections.abc import Iterable, Sequence

from app.domain.bill import Standing
from app.domain.money import HOUR_US, Price, round_amount
from app.render.cells import Cell, Line, Tone, line
from app.render.checks import CheckLike, check_lines
from app.render.words import span

_ORDER = {"fail": 0, "warn": 1, "pass": 2}


def progress_line(checks: Sequence[CheckLike], waiting: Sequence[str], took_s: float, fresh: bool) -> Line:
    """How far the checks are: `PREFLIGHT  11 of 13   waiting for image`."""
    if not fresh:
        return line(Cell("PREFLIGHT  ", "dim"), Cell("the form has changed …", "busy"))
    total = len(checks) + len(waiting)
    if waiting:
        names = ", ".join(waiting)
        return line(Cell("PREFLIGHT  ", "dim"), f"{len(checks)} of {total}   ", Cell(f"◐ waiting for {names}", "busy"))
    counts = [
        (sum(c.result == result for c in checks), word) for result, word in (("fail", "failed"), ("warn", "warn"))
    ]
    found = ", ".join(f"{count} {word}" for count, word in counts if count) or "all passed"
    return line(
        Cell("PREFLIGHT  ", "dim"), f"{total} check{'s' * (total != 1)}, {found}", Cell(f"   {took_s:.1f} s", "dim")
    )


def ranked_lines(checks: Sequence[CheckLike], fresh: bool) -> list[Line]:
    """The checks, those that need somebody first; dimmed where they are of an older form."""
    lines = check_lines(sorted(checks, key=lambda check: _ORDER[check.result]))
    return lines if fresh else [tuple(Cell(cell.text, "dim") for cell in each) for each in lines]


def price_line(price: Price, replicas: int, standing: Standing, currency: str) -> Line:
    """What it costs, and for how long the money lasts with what runs already: `0.90 USD/h   11 h left of 9.90 USD`."""
    head = Cell(f"{'PRICE':9}", "dim")
    if price.free:
        return line(head, "nothing")
    hour = price.by_hour * replicas
    if not hour:
        tokens = f"{round_amount(price.token_in)} in, {round_amount(price.token_out)} out"
        return line(head, f"{tokens} {currency} a million tokens")
    each = f" for {replicas} replicas" if replicas > 1 else ""
    left = max(0, standing.available - standing.accrued)
    lasts = left * HOUR_US // (standing.burn + hour)
    tone: Tone = "bad" if lasts < HOUR_US // 4 else "look" if lasts < HOUR_US else "plain"
    words = f"{round_amount(left)} {currency} last {span(lasts)}" if lasts else "nothing is left to pay it"
    return line(head, f"{round_amount(hour)} {currency}/h while running{each}   ", Cell(words, tone))


def command_lines(command: Sequence[str], width: int, most: int) -> list[str]:
    """A command in at most so many lines of `width`. Where it is longer, its paths are shown by their last name."""
    lines = _wrapped(map(shlex.quote, command), width)
    if len(lines) > most:
        lines = _wrapped(map(_short, command), width)
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: width - 2]} …"]


def _wrapped(words: Iterable[str], width: int) -> list[str]:
    return textwrap.wrap(" ".join(words), width, break_on_hyphens=False)


def _short(word: str) -> str:
    deep = word.startswith("/") and word.count("/") > 2
    return f"…/{word.rpartition('/')[2]}" if deep else shlex.quote(word)
