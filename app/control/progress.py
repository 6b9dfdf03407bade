"""How far one attempt has come: its log as it grows, what is recognised in it, and when it last moved."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from app.domain.detector import Detector
from app.domain.failures import StokerError
from app.domain.findings import Finding, label
from app.domain.rules import STAGES
from app.store.attempts import AttemptLog, TimeIndex
from app.store.findings import Found

_LOADING = STAGES[STAGES.index("weights") :]
_READ_AT_ONCE = 8 << 20
"""Bytes of a living attempt's log read in one pass: a server that finds much to catch up with stays quick."""
_GROWTH = 1 << 20
"""Bytes of memory that count as a sign of getting on."""


class Reader:
    """Follows the log in the directory of one attempt. Times are UTC microseconds.

    `loading` says that the engine reads the weights, or has got beyond that; `moved_at` is when it last gave a sign of
    getting on, `progress` how far it was.
    """

    def __init__(self, directory: Path, detector: Detector) -> None:
        self.detector = detector
        self.loading = False
        self.moved_at = 0
        self.progress = ""
        self._directory = directory
        self._times = TimeIndex(directory)
        self._offset = 0
        self._memory = 0

    def catch_up(self, now: int) -> list[Found]:
        """What the log has got since the last call, up to a bound."""
        return list(self._read(now, _READ_AT_ONCE))

    def finish(self, now: int) -> list[Found]:
        """All that the log of an ended attempt still holds, and the line that was never ended."""
        rest = list(self._read(now, None))
        return rest + list(self._note(self.detector.end(), now))

    def watch(self, pid: int | None, now: int) -> None:
        """Look at the memory of the engine and its children: as long as they take more, it gets on."""
        memory = _memory(pid) if pid is not None else 0
        if not self.moved_at or memory >= self._memory + _GROWTH:
            self.moved_at = now
            self._memory = memory

    def _read(self, now: int, limit: int | None) -> Iterator[Found]:
        try:
            log = AttemptLog(self._directory)
        except StokerError:
            return  # it has not been started yet
        begin = self._offset
        while limit is None or self._offset < begin + limit:
            piece = log.read(self._offset)
            if not piece.data:
                break
            self.detector.skip(piece.missing)
            self._offset = piece.start + len(piece.data)
            self.moved_at = now
            yield from self._note(self.detector.feed(piece.data), now)

    def _note(self, findings: Iterable[Finding], now: int) -> Iterator[Found]:
        for finding in findings:
            if finding.kind == "milestone":
                self.loading |= finding.code in _LOADING
                self.progress = label(finding)
            yield Found(self._directory.name, self._time_of(finding, now), finding)

    def _time_of(self, finding: Finding, now: int) -> int:
        if finding.offset is None:
            return now
        self._times.refresh()
        return self._times.time_at(finding.offset) or now


def _memory(pid: int) -> int:
    """Resident bytes of a process and of all below it, 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total
