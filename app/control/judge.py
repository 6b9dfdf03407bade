"""What an attempt's own output says: how far the engine has come, and why it ended."""

import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from app.control.progress import Reader
from app.domain.detector import Detector, Rules
from app.domain.facts import Ended
from app.domain.failures import StokerError
from app.domain.rules import Rule
from app.domain.variant import VariantSpec
from app.domain.verdict import ExitFacts, judge
from app.settings import Home
from app.store.findings import Found
from backends.base import BackendRefused, Exit


class Judge:
    """Reads the logs of attempts, each byte once, and remembers the verdicts. Blocking: call it in a thread.

    `found` is what it has recognised; whoever has stored some of it takes that out.
    """

    def __init__(self, home: Home, rules: Iterable[Rule]) -> None:
        self._home = home
        self._rules = Rules(tuple(rules))
        self._readers: dict[str, Reader] = {}
        self._ended: dict[str, Ended] = {}
        self.found: list[Found] = []

    def reader(self, attempt_id: str, spec: VariantSpec, now: int) -> Reader:
        """What is known of an attempt at `spec`, with what its log has got until `now`."""
        if attempt_id not in self._readers:
            detector = Detector(self._rules, spec.engine, limited=spec.memory_limit is not None)
            self._readers[attempt_id] = Reader(self._home.attempts / attempt_id, detector)
        reader = self._readers[attempt_id]
        self.found += reader.catch_up(now)
        return reader

    def ended(self, attempt_id: str, spec: VariantSpec, how: Exit) -> Ended:
        """The verdict on an attempt at `spec` that ended."""
        if attempt_id not in self._ended and how.error is not None and how.code is None:
            told = self.refused(BackendRefused(how.error, how.errno))
            self._ended[attempt_id] = replace(told, at=how.at)
        if attempt_id not in self._ended:
            reader = self.reader(attempt_id, spec, how.at)
            self.found += reader.finish(how.at)
            cause = judge(reader.detector, exit_facts(how))
            if cause.line is None:
                self.found.append(Found(attempt_id, how.at, cause))
            self._ended[attempt_id] = Ended(
                how.at, cause.code, cause.evidence, how.code, how.signal, how.rebooted, how.boot_us
            )
        return self._ended[attempt_id]

    def refused(self, refusal: BackendRefused | StokerError) -> Ended:
        """The verdict on an attempt that could not be created."""
        now = time.time_ns() // 1_000
        if isinstance(refusal, StokerError):
            return Ended(now, refusal.code, refusal.message)
        detector = Detector(self._rules)
        for _ in detector.feed(refusal.text.encode() + b"\n"):
            pass
        cause = judge(detector, ExitFacts(error=refusal.text, errno=refusal.errno))
        return Ended(now, cause.code, cause.evidence)

    def forget(self, live: AbstractSet[str]) -> None:
        """Drop what is known of attempts that are not in `live`."""
        for known in (self._ended, self._readers):
            for attempt_id in known.keys() - live:
                known.pop(attempt_id, None)


def exit_facts(how: Exit) -> ExitFacts:
    """The backend's account of an end, as the rules take it."""
    return ExitFacts(how.code, how.signal, how.oom, how.lost, how.error, how.errno)
