"""Why an engine ended: what its output proves, weighed against the way it went."""

import errno
import signal
from collections.abc import Collection
from dataclasses import dataclass

from app.domain.detector import Detector, Standing
from app.domain.findings import EVIDENCE_LIMIT, Finding
from app.domain.text import safe

_NEAR_THE_END = 200
"""Lines before the end within which a cause may explain why somebody killed the engine: its own parent, mostly."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR)
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """How an engine ended, as its backend tells it; `errno` where the system would not start it."""

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    lost: bool = False
    error: str | None = None
    errno: int | None = None


def cause(standing: Collection[Standing]) -> Standing | None:
    """The failure that stands nearest to the cause, of the last start that failed; the earliest of equals."""
    last = max((s.start for s in standing), default=0)
    found = (s for s in standing if s.start == last)
    return min(found, key=lambda s: (s.rank, s.finding.line or 0), default=None)


def judge(detector: Detector, ended: ExitFacts, *, requests: bool = False) -> Finding:
    """Why an engine ended that nobody had asked to, from all it wrote and from how it went.

    A code with the engine's own line as evidence, or how it ended if it said nothing; then `line` is None. What only
    failed a request ends no engine; with `requests` it may have, because nobody knows what wrote the log.
    """
    if ended.oom:
        return _from_exit("HOST_OOM", "the kernel killed it: out of memory")
    if ended.errno in _NO_ROOM:
        return _from_exit("DISK_FULL", ended.error or "")
    if ended.errno in _NO_PROGRAM:
        return _from_exit("ENTRYPOINT_MISSING", ended.error or "")
    if ended.lost:
        return _from_exit("KILLED_EXTERNALLY", "its keeper was killed")
    found = cause([s for s in detector.standing.values() if requests or not s.rule.request])
    by = ended.signal if ended.signal is not None or ended.code is None else _as_signal(ended.code)
    if by in _FROM_OUTSIDE:
        if found is not None and not found.rule.summary and _near_the_end(found.finding, detector):
            return found.finding
        return _from_exit("KILLED_EXTERNALLY", f"ended by {signal.Signals(by).name}")
    if found is not None and not (ended.code == 0 and found.rule.summary):
        return found.finding
    if by is not None:
        return _from_exit("RUNTIME_ERROR", f"ended by signal {by}")
    last = detector.last.decode("utf-8", "replace").strip() or "it printed nothing"
    return _from_exit("CONTAINER_EXITED", f"{ended.error or f'exit code {ended.code}'}; last line: {last}")


def _as_signal(code: int) -> int | None:
    """The signal that a shell or a container runtime tells as an exit code."""
    return code - 128 if 128 < code <= 128 + 64 else None


def _near_the_end(finding: Finding, detector: Detector) -> bool:
    return finding.line is not None and detector.lines - finding.line <= _NEAR_THE_END


def _from_exit(code: str, evidence: str) -> Finding:
    return Finding("exit", code, "failure", None, safe(evidence, EVIDENCE_LIMIT))
