"""Failure rules: what proves what in a line of output, as `assets/failures.toml` and a user's own file say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.failures import CATALOGUE, StokerError

# Which failure is the cause when several are found: lower is nearer to it (DESIGN §10). Host memory stands before GPU
# memory and that before CUDA, access to the hub before the load of the model, and the context before both.
_ORDER = (
    "IMAGE_PULL_FAILED", "PORT_IN_USE", "DISK_FULL", "BAD_FLAG", "GPU_ACCESS", "CTX_TOO_LARGE", "HOST_OOM",
    "OOM_KILLED", "CUDA_ERROR", "MODEL_GATED", "MODEL_NOT_FOUND", "OFFLINE", "ARCH_UNSUPPORTED", "MUST_REDOWNLOAD",
    "MODEL_LOAD_ERROR", "ENTRYPOINT_MISSING", "STARTUP_TIMEOUT", "RUNTIME_ERROR",
)  # fmt: skip
_SUMMARY = 100
_REQUEST = 50
_OWN = -1_000

STAGES = ("start", "download", "weights", "compile", "kv", "capture", "warmup", "ready", "stop")
"""The stages of a milestone, in the order in which an engine passes them."""
_KINDS = ("failure", "milestone", "recovered", "context")
_LISTS = ("find", "engines", "cancels")
_PATTERNS = ("pattern", "unless", "capture")
_FLAGS = ("limited", "summary", "request", "lasting")
_KEYS = {"id", "code", "kind", "stage", "after", "rank", *_LISTS, *_PATTERNS, *_FLAGS}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of line proves; `assets/failures.toml` explains the fields. `rank` orders causes, lower first."""

    id: str
    kind: str
    code: str
    stage: str
    rank: int
    find: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    capture: re.Pattern[str] | None = None
    after: str | None = None
    engines: frozenset[str] = frozenset()
    cancels: frozenset[str] = frozenset()
    limited: bool = False
    summary: bool = False
    request: bool = False
    lasting: bool = False


def parse_rules(data: Mapping[str, Any], *, own: bool = False) -> tuple[Rule, ...]:
    """Rules from parsed TOML (`[[rule]]` tables); a user's `own` are nearer to any cause than those that ship.

    A rule that is not valid is CONFIG_INVALID naming it.
    """
    tables = data.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise StokerError("CONFIG_INVALID", "failures.toml: rules are `[[rule]]` tables.")
    rules = []
    for table in tables:
        try:
            rules.append(_rule(table, _OWN if own else 0))
        except (KeyError, TypeError, ValueError, re.error) as error:
            text = f"no `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
            raise StokerError("CONFIG_INVALID", f"failures.toml: rule {table.get('id', '?')}: {text}.") from error
    return tuple(rules)


def _rule(table: Mapping[str, Any], rank: int) -> Rule:
    if unknown := table.keys() - _KEYS:
        raise ValueError(f"unknown field `{min(unknown)}`")
    kind = table.get("kind", "failure")
    if kind not in _KINDS:
        raise ValueError(f"no such kind as `{kind}`")
    code = table["code"] if kind == "failure" else ""
    if kind == "failure" and code not in CATALOGUE:
        raise ValueError(f"no such code as `{code}`")
    stage = table["stage"] if kind == "milestone" else ""
    if kind == "milestone" and stage not in STAGES:
        raise ValueError(f"no such stage as `{stage}`")
    lists = {name: _texts(table, name) for name in _LISTS}
    pattern, unless, capture = (re.compile(table[name]) if name in table else None for name in _PATTERNS)
    if not lists["find"] and pattern is None:
        raise ValueError("it has neither `find` nor `pattern`")
    limited, summary, request, lasting = (table.get(name) is True for name in _FLAGS)
    rank += table.get("rank", 0) + (_ORDER.index(code) if code in _ORDER else len(_ORDER))
    rank += _SUMMARY * summary + _REQUEST * request
    return Rule(
        table["id"],
        kind,
        code,
        stage,
        rank,
        find=lists["find"],
        pattern=pattern,
        unless=unless,
        capture=capture,
        after=table.get("after"),
        engines=frozenset(lists["engines"]),
        cancels=frozenset(lists["cancels"]),
        limited=limited,
        summary=summary,
        request=request,
        lasting=lasting,
    )


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = table.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"`{name}` is a list of texts")
    return tuple(texts)
