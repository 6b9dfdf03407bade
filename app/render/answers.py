"""A model's answer, and what it took."""

from typing import Any

from app.domain.chat import Answer
from app.domain.money import Price, format_amount, request_cost
from app.render.cells import Cell, Line, line
from app.render.words import UNKNOWN


def document(answer: Answer) -> dict[str, Any]:
    """What `ask --json` prints."""
    return {
        "text": answer.text,
        "request_id": answer.request_id,
        "ttft_ms": _milliseconds(answer.ttft_us),
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
    }


def figures(answer: Answer) -> Line:
    """`TTFT 182 ms · 96 tok/s · 31 in 128 out · id 7f3c…`."""
    return line(Cell(" · ".join((*figure_parts(answer), f"id {answer.request_id}")), "dim"))


def figure_parts(answer: Answer) -> tuple[str, str, str]:
    """`TTFT 182 ms`, `96 tok/s`, `31 in 128 out`: what is told of an answer beside its id."""
    ttft = UNKNOWN if answer.ttft_us is None else f"{_milliseconds(answer.ttft_us)} ms"
    speed = UNKNOWN if answer.speed is None else f"{answer.speed:.0f}"
    if answer.least_speed is not None:
        speed = f"at least {answer.least_speed:.0f}"
    counts = [UNKNOWN if count is None else str(count) for count in (answer.tokens_in, answer.tokens_out)]
    return f"TTFT {ttft}", f"{speed} tok/s", f"{counts[0]} in {counts[1]} out"


def cost_part(answer: Answer, price: Price, currency: str) -> str:
    """`0.0004 USD`: what an answer cost by itself; empty where the time of a replica is billed, or nothing."""
    if price.free or price.basis != "token" or answer.tokens_in is None or answer.tokens_out is None:
        return ""
    return f"{format_amount(request_cost(price, answer.tokens_in, answer.tokens_out))} {currency}"


def _milliseconds(us: int | None) -> int | None:
    return None if us is None else round(us / 1_000)
