"""What an attempt's own output says: that the weights are being read, and why it ended."""

import re
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from app.domain.detection import ExitFacts, Rule, judge
from app.domain.engines import Preset
from app.domain.facts import Ended
from app.domain.failures import StokerError
from app.domain.variant import VariantSpec
from app.settings import Home
from backends.base import BackendRefused, Exit

_READ_LIMIT = 1_000_000
"""Bytes read from each end of an ended attempt's log."""


class Judge:
    """Reads the logs of attempts, each line once, and remembers the verdicts. Blocking: call it in a thread."""

    def __init__(self, home: Home, presets: Mapping[str, Preset], rules: tuple[Rule, ...]) -> None:
        self._home = home
        self._presets = presets
        self._rules = rules
        self._ended: dict[str, Ended] = {}
        self._loading: set[str] = set()
        self._read: dict[str, int] = {}

    def loading(self, attempt_id: str, engine: str) -> bool:
        """Whether the engine has said that it reads the weights."""
        preset = self._presets.get(engine)
        if preset and attempt_id not in self._loading and self._milestone(attempt_id, preset.loading):
            self._loading.add(attempt_id)
        return attempt_id in self._loading

    def ended(self, attempt_id: str, spec: VariantSpec, how: Exit) -> Ended:
        """The verdict on an attempt at `spec` that ended."""
        if attempt_id not in self._ended:
            words, limited = self._last_words(attempt_id), spec.memory_limit is not None
            code, evidence = judge(words, exit_facts(how), self._rules, spec.engine, limited=limited)
            self._ended[attempt_id] = Ended(how.at, code, evidence, how.code, how.signal, how.rebooted, how.boot_us)
        return self._ended[attempt_id]

    def refused(self, engine: str, refusal: BackendRefused | StokerError) -> Ended:
        """The verdict on an attempt that could not be created."""
        if isinstance(refusal, StokerError):
            code, evidence = refusal.code, refusal.message
        else:
            code, evidence = judge((), ExitFacts(error=refusal.text, errno=refusal.errno), self._rules, engine)
        return Ended(time.time_ns() // 1_000, code, evidence)

    def forget(self, live: AbstractSet[str]) -> None:
        """Drop what is known of attempts that are not in `live`."""
        for known in (self._ended, self._read):
            for attempt_id in known.keys() - live:
                known.pop(attempt_id, None)
        self._loading &= live

    def _milestone(self, attempt_id: str, pattern: str) -> bool:
        try:
            with (self._home.attempts / attempt_id / "head.log").open("rb") as file:
                file.seek(self._read.get(attempt_id, 0))
                text = file.read(_READ_LIMIT)
        except FileNotFoundError:
            return False
        whole = text[: text.rfind(b"\n") + 1]
        self._read[attempt_id] = self._read.get(attempt_id, 0) + len(whole)
        return re.search(pattern, whole.decode("utf-8", "replace")) is not None

    def _last_words(self, attempt_id: str) -> list[str]:
        directory = self._home.attempts / attempt_id
        text = _ends(directory / "head.log") + _ends(directory / "tail.log")
        return text.decode("utf-8", "replace").splitlines()


def exit_facts(how: Exit) -> ExitFacts:
    """The backend's account of an end, as the rules take it."""
    return ExitFacts(how.code, how.signal, how.oom, how.lost, how.error, how.errno)


def _ends(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_READ_LIMIT)
            size = file.seek(0, 2)
            file.seek(max(len(head), size - _READ_LIMIT))
            return head + file.read()
    except FileNotFoundError:
        return b""
