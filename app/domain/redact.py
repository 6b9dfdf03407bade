"""Text that leaves this machine: every secret that is known, and everything that looks like one, taken out of it."""

import re
from collections.abc import Iterable

MASK = "[masked]"
LEAST = 6
"""Shortest value that is taken for a secret; a shorter one (`1`, `cuda`) would black out innocent text."""

_SHAPES = (
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{12,}"),
    re.compile(r"\b(?:hf_[A-Za-z0-9]{8,}|stk_[A-Za-z0-9_]{8,}|sk-[A-Za-z0-9_-]{12,}|rpa_[A-Z0-9]{16,})"),
    re.compile(r"\b(?:gh[opsu]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?<=://)[^/\s:@]{1,200}:[^/\s@]{1,200}(?=@)"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
)
"""How credentials look that nobody told us of: of HTTP, model hubs, providers, code hosts, in URLs and in PEM."""
_CALLED = r"(?:api[_-]?key|token|secret|passw(?:or)?d|credential)s?"
SECRET_NAME = re.compile(rf"(?i){_CALLED}$")
"""What the name of a flag or variable ends in that holds a secret."""
_NAMED = (
    re.compile(rf"(?i)(?P<name>{_CALLED}[\"']?\s{{0,9}}[=:,]\s{{0,9}}[\"']?)(?P<value>[^\s\"',;}}\[\]]{{6,}})"),
    re.compile(rf"(?i)(?P<name>--[\w-]{{0,40}}{_CALLED}\s+)(?P<value>[^\s\"',;}}\[\]]{{6,}})"),
)
_COUNTED = re.compile(r"\d+(?:\.\d+)?%?")
"""What follows `tokens:` in an engine's log is mostly a number, and none of that is a secret."""


class Redactor:
    """Takes `secrets` out of texts, and what looks like one; `home` is written as `~`, for it names a person."""

    def __init__(self, secrets: Iterable[str] = (), home: str = "") -> None:
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        known = sorted((line for line in lines if len(line) >= LEAST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._home = home.rstrip("/")

    def text(self, text: str) -> str:
        """`text` without them. What is left is the same for the same text."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for shape in _SHAPES:
            text = shape.sub(MASK, text)
        for named in _NAMED:
            text = named.sub(_mask_value, text)
        return text.replace(self._home, "~") if len(self._home) > 1 else text


def _mask_value(match: re.Match[str]) -> str:
    kept = _COUNTED.fullmatch(match["value"]) or MASK in match["value"]
    return match[0] if kept else match["name"] + MASK
