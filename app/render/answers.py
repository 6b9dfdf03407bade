"""A model's answer, and what it took."""

from dataclasses import dataclass
from typing import Any

from app.render.cells import Cell, Line, line
from app.render.words import UNKNOWN


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Counts are the engine's own, None if it gave none; `ttft_ms` is until the first text."""

    text: str
    request_id: str
    ttft_ms: int | None
    tokens_in: int | None
    tokens_out: int | None
    took_s: float


def document(answer: Answer) -> dict[str, Any]:
    """What `ask --json` prints."""
    return {
        "text": answer.text,
        "request_id": answer.request_id,
        "ttft_ms": answer.ttft_ms,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
    }


def figures(answer: Answer) -> Line:
    """`TTFT 182 ms · 96 tok/s · 31 in 128 out · id 7f3c…`."""
    ttft, speed = UNKNOWN, UNKNOWN
    if answer.ttft_ms is not None:
        ttft = f"{answer.ttft_ms} ms"
        generating = answer.took_s - answer.ttft_ms / 1000
        if answer.tokens_out is not None and answer.tokens_out > 1 and generating > 0:
            speed = f"{(answer.tokens_out - 1) / generating:.0f}"
    counts = [UNKNOWN if count is None else str(count) for count in (answer.tokens_in, answer.tokens_out)]
    text = f"TTFT {ttft} · {speed} tok/s · {counts[0]} in {counts[1]} out · id {answer.request_id}"
    return line(Cell(text, "dim"))
