"""What an engine's refusal means to the client: its status and text, turned into a code of the catalogue."""

import json
import re
from typing import Any

from app.domain.text import safe
from app.gateway.errors import EdgeError
from app.gateway.router import RETRY_AFTER_MOST_S, RETRY_AFTER_S

EVIDENCE_LIMIT = 500

# vLLM, SGLang, and vLLM before 0.11, in this order: (limit, size) of a prompt that does not fit.
_CONTEXT = (
    re.compile(r"maximum context length is (?P<limit>\d+) tokens.*?contains at least (?P<size>\d+)", re.DOTALL),
    re.compile(r"input \((?P<size>\d+) tokens\) is longer than the model's context length \((?P<limit>\d+)"),
    re.compile(r"maximum context length is (?P<limit>\d+) tokens.*?requested (?P<size>\d+) tokens", re.DOTALL),
)


def explain_refusal(status: int, body: bytes, retry_after: bytes = b"") -> EdgeError:
    """The error that stands for an engine's answer of `status` (anything but 200) with `body`.

    What the caller can mend is INVALID_REQUEST or CTX_TOO_LARGE, with the engine's own words; what is between us and
    the engine (its key, its failures) is UPSTREAM_FAILED.
    """
    error = _read_error(body)
    message = safe(str(error.get("message") or body[:EVIDENCE_LIMIT].decode(errors="replace")), EVIDENCE_LIMIT)
    if status == 400 and (context := _context_error(error, message)):
        return context
    if status == 429:
        after = int(retry_after) if retry_after.isdigit() and len(retry_after) < 4 else RETRY_AFTER_S
        after = max(1, min(after, RETRY_AFTER_MOST_S))
        return EdgeError(
            "NO_CAPACITY", f"The engine is busy: {message}", retry_after=after, detail={"retry_after_s": after}
        )
    if status == 501:
        return EdgeError("INVALID_REQUEST", f"This model cannot do that: {message}")
    if 400 <= status < 500 and status not in (401, 403, 407):
        param = error.get("param")
        return EdgeError(
            "INVALID_REQUEST",
            f"The engine refused the request: {message}",
            param=safe(param, 60) if isinstance(param, str) else None,
        )
    return EdgeError(
        "UPSTREAM_FAILED",
        f"The engine answered {status}: {message}" if message else f"The engine answered {status}.",
        detail={"evidence": message, "status": status},
    )


def _read_error(body: bytes) -> dict[str, Any]:
    """The error object of an OpenAI-compatible answer; empty if there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document.get("detail"))
    return error if isinstance(error, dict) else {"message": error} if isinstance(error, str) else document


def _context_error(error: dict[str, Any], message: str) -> EdgeError | None:
    if error.get("type") == "exceed_context_size_error":  # llama.cpp
        return _too_large(error.get("n_ctx"), error.get("n_prompt_tokens"))
    for pattern in _CONTEXT:
        if match := pattern.search(message):
            return _too_large(int(match["limit"]), int(match["size"]))
    return None


def _too_large(limit: object, size: object) -> EdgeError | None:
    if not isinstance(limit, int) or not isinstance(size, int):
        return None
    return EdgeError(
        "CTX_TOO_LARGE",
        f"The prompt has {size} tokens, the context is {limit}.",
        detail={"limit": limit, "size": size},
    )
