"""From an engine's last words to a code: rules in order of trust, then the way it ended.

Rules are data (`assets/failures.toml`), first match wins: a cause stands before its summary, the specific before the
generic. A line is evidence only as the engine wrote it; nothing is concluded from a log level.
"""

import errno
import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.failures import CATALOGUE, StokerError
from app.domain.text import safe

EVIDENCE_LIMIT = 300
"""Characters of evidence that are kept."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that proves `code` in one line of an engine's output; `engines` empty means any.

    A `limited` rule is only for an engine that ran under a memory limit.
    """

    id: str
    code: str
    pattern: re.Pattern[str]
    engines: tuple[str, ...] = ()
    limited: bool = False


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """How an engine ended, as its backend tells it; `errno` where the system would not start it."""

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    lost: bool = False
    error: str | None = None
    errno: int | None = None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR)


def parse_rules(data: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Rules from parsed TOML (`[[rule]]` tables). A rule that is not valid is CONFIG_INVALID naming it."""
    rules = []
    for table in data.get("rule", []):
        try:
            pattern, engines = re.compile(table["pattern"]), tuple(table.get("engines", ()))
            rule = Rule(table["id"], table["code"], pattern, engines, table.get("limited") is True)
        except (KeyError, TypeError, re.error) as error:
            raise StokerError("CONFIG_INVALID", f"failures.toml: rule {table.get('id', '?')}: {error}.") from error
        if rule.code not in CATALOGUE:
            raise StokerError("CONFIG_INVALID", f"failures.toml: rule {rule.id}: no such code as `{rule.code}`.")
        rules.append(rule)
    return tuple(rules)


def judge(
    lines: Sequence[str], ended: ExitFacts, rules: Iterable[Rule], engine: str, *, limited: bool = False
) -> tuple[str, str]:
    """The code of an unasked-for end, and the evidence: the engine's own line, or how it ended if it said nothing.

    `limited` says that the engine ran under a memory limit.
    """
    if ended.oom:
        return "HOST_OOM", "the kernel killed it: out of memory"
    if ended.errno in _NO_ROOM:
        return "DISK_FULL", safe(ended.error or "", EVIDENCE_LIMIT)
    if ended.errno in _NO_PROGRAM:
        return "ENTRYPOINT_MISSING", safe(ended.error or "", EVIDENCE_LIMIT)
    if ended.lost:
        return "KILLED_EXTERNALLY", "its keeper was killed"
    if ended.signal in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return "KILLED_EXTERNALLY", f"ended by {signal.Signals(ended.signal).name}"
    # What the backend says of a start that never ran stands before anything that an engine printed.
    lines = (ended.error, *lines) if ended.error else lines
    for rule in rules:
        if (rule.engines and engine not in rule.engines) or (rule.limited and not limited):
            continue
        for line in lines:
            if rule.pattern.search(line):
                return rule.code, safe(line.strip(), EVIDENCE_LIMIT)
    if ended.signal is not None:
        return "RUNTIME_ERROR", f"ended by signal {ended.signal}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
    how = ended.error or f"exit code {ended.code}"
    return "CONTAINER_EXITED", safe(f"{how}; last line: {last}", EVIDENCE_LIMIT)
