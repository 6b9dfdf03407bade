"""What an attempt's own output says: how far the engine has come, and why it ended."""

import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from app.domain.facts import Ended
from app.domain.failures import StokerError
from app.domain.findings import Detector, Finding, Rules
from app.domain.rules import STAGES, Rule
from app.domain.variant import VariantSpec
from app.domain.verdict import ExitFacts, judge
from app.settings import Home
from app.store.attempts import AttemptLog
from backends.base import BackendRefused, Exit

_LOADING = STAGES[STAGES.index("weights") :]
_READ_AT_ONCE = 8 << 20
"""Bytes of a living attempt's log read in one pass: a server that finds much to catch up with stays quick."""


class Judge:
    """Reads the logs of attempts, each byte once, and remembers the verdicts. Blocking: call it in a thread."""

    def __init__(self, home: Home, rules: Iterable[Rule]) -> None:
        self._home = home
        self._rules = Rules(tuple(rules))
        self._readers: dict[str, _Reader] = {}
        self._ended: dict[str, Ended] = {}

    def loading(self, attempt_id: str, spec: VariantSpec) -> bool:
        """Whether the engine of a living attempt has said that it reads the weights, or more than that."""
        reader = self._reader(attempt_id, spec)
        reader.read(_READ_AT_ONCE)
        return reader.loading

    def ended(self, attempt_id: str, spec: VariantSpec, how: Exit) -> Ended:
        """The verdict on an attempt at `spec` that ended."""
        if attempt_id not in self._ended:
            reader = self._reader(attempt_id, spec)
            reader.read_to_end()
            found = judge(reader.detector, exit_facts(how))
            self._ended[attempt_id] = Ended(how.at, found.code, found.evidence, how.code, how.signal, how.rebooted)
        return self._ended[attempt_id]

    def refused(self, refusal: BackendRefused | StokerError) -> Ended:
        """The verdict on an attempt that could not be created."""
        now = time.time_ns() // 1_000
        if isinstance(refusal, StokerError):
            return Ended(now, refusal.code, refusal.message)
        detector = Detector(self._rules)
        list(detector.feed(refusal.text.encode() + b"\n"))
        found = judge(detector, ExitFacts(error=refusal.text, errno=refusal.errno))
        return Ended(now, found.code, found.evidence)

    def forget(self, live: AbstractSet[str]) -> None:
        """Drop what is known of attempts that are not in `live`."""
        for known in (self._ended, self._readers):
            for attempt_id in known.keys() - live:
                known.pop(attempt_id, None)

    def _reader(self, attempt_id: str, spec: VariantSpec) -> "_Reader":
        if attempt_id not in self._readers:
            detector = Detector(self._rules, spec.engine, limited=spec.memory_limit is not None)
            self._readers[attempt_id] = _Reader(self._home, attempt_id, detector)
        return self._readers[attempt_id]


class _Reader:
    """Follows the log of one attempt."""

    def __init__(self, home: Home, attempt_id: str, detector: Detector) -> None:
        self.detector = detector
        self.loading = False
        self._directory = home.attempts / attempt_id
        self._offset = 0

    def read(self, limit: int) -> bool:
        """Read up to about `limit` bytes that are new; whether there may be more."""
        try:
            log = AttemptLog(self._directory)
        except StokerError:
            return False  # it has written nothing yet
        stop = self._offset + limit
        while self._offset < stop:
            piece = log.read(self._offset)
            if not piece.data:
                return False
            self.detector.skip(piece.missing)
            self._offset = piece.start + len(piece.data)
            self._take(self.detector.feed(piece.data))
        return True

    def read_to_end(self) -> None:
        """Read all that is left, and the line that was never ended."""
        while self.read(_READ_AT_ONCE):
            pass
        self._take(self.detector.end())

    def _take(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.loading |= finding.kind == "milestone" and finding.code in _LOADING


def exit_facts(how: Exit) -> ExitFacts:
    """The backend's account of an end, as the rules take it."""
    return ExitFacts(how.code, how.signal, how.oom, how.lost, how.error, how.errno)
