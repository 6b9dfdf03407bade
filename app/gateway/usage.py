"""How many tokens a request took: the engine's own counts where it gives them, a marked estimate where it does not."""

import json
import re
from typing import Any

from app.gateway.call import Call

COUNT_LIMIT = 1_000_000_000
"""A count beyond this is not a count."""

_SLICE = 4_096
_PROMPT = re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,9})\s*[,}]')
_COMPLETION = re.compile(rb'"completion_tokens"\s*:\s*(\d{1,9})\s*[,}]')

Counts = tuple[int, int]


def read_counts(usage: object) -> Counts | None:
    """(input, output) tokens of a `usage` object; None unless both are sane numbers."""
    if not isinstance(usage, dict):
        return None
    tokens_in, tokens_out = _read_count(usage.get("prompt_tokens")), _read_count(usage.get("completion_tokens", 0))
    return None if tokens_in is None or tokens_out is None else (tokens_in, tokens_out)


def count_answer(call: Call, body: bytes) -> tuple[Counts, bool]:
    """The tokens of a whole answer, and whether they are estimated."""
    if call.n * call.prompts > 1 and call.path != "/v1/embeddings":
        return _count_choices(call, body)
    # Found without parsing what may be megabytes of embeddings: inside a JSON string its quotes would be escaped.
    at = body.rfind(b'"usage"')
    tokens_in = _PROMPT.search(body, at, at + _SLICE) if at >= 0 else None
    if tokens_in is None:
        return (call.estimate_input(), 0), True
    tokens_out = _COMPLETION.search(body, at, at + _SLICE)
    return (int(tokens_in[1]), int(tokens_out[1]) if tokens_out else 0), False


def count_stream(call: Call, reported: list[Counts], events: int) -> tuple[Counts, bool]:
    """The tokens of a complete stream that `reported` usage and had `events` pieces, and whether they are estimated.

    llama.cpp reports each choice by itself, with the prompt counted again each time; others report a total.
    """
    choices = call.n * call.prompts
    if not reported:
        return (call.estimate_input(), events), True
    if len(reported) == 1 or choices == 1:
        return reported[-1], False
    tokens_in = sum(counts[0] for counts in reported) // call.n
    return (tokens_in, sum(counts[1] for counts in reported)), len(reported) != choices


def _count_choices(call: Call, body: bytes) -> tuple[Counts, bool]:
    """llama.cpp counts one choice of several when it does not stream; its `timings` give that away."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    answer: dict[str, Any] = document if isinstance(document, dict) else {}
    counts = read_counts(answer.get("usage"))
    if counts is None:
        return (call.estimate_input(), 0), True
    choices, timings = answer.get("choices"), answer.get("timings")
    if not isinstance(choices, list) or len(choices) < 2 or not isinstance(timings, dict):
        return counts, False
    if timings.get("predicted_n") != counts[1]:
        return counts, False
    lengths = [len(json.dumps(c.get("message") or c.get("text") or "")) if isinstance(c, dict) else 0 for c in choices]
    tokens_out = round(counts[1] * sum(lengths) / max(lengths[0], 1))
    return (counts[0] * call.prompts, min(tokens_out, COUNT_LIMIT)), True


def _read_count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= COUNT_LIMIT else None
