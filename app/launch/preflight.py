"""The checks of a form that is still being filled in: of its newest state only, in threads, told while they end."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from app.domain.failures import StokerError
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import plan_launch
from app.settings import Home, load_presets


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a form: its plan as far as that goes, or the error that kept it from being made.

    `took_s` is how long its checks have taken so far. `fresh` is False where the form has changed since.
    """

    options: Options
    plan: Plan | None = None
    error: StokerError | None = None
    took_s: float = 0.0
    fresh: bool = True

    @property
    def whole(self) -> bool:
        """Whether every check of the form as it is now has ended."""
        return self.fresh and (self.error is not None or (self.plan is not None and not self.plan.waiting))


class _Superseded(Exception):
    """Somebody has asked for something else meanwhile."""


class Preflight:
    """Asks for the checks of one form after the other. An answer to an older form never takes the place of a newer one.

    `told` is called from the thread that asks, whenever there is something new to be seen.
    """

    def __init__(self, home: Home, told: Callable[[], None]) -> None:
        self._home = home
        self._told = told
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._asked: tuple[Options, Collection[str]] | None = None
        self._seen: Outcome | None = None
        self._ended_at = 0.0

    @property
    def seen(self) -> Outcome | None:
        """What was found out last; None before there is anything."""
        with self._lock:
            return self._seen

    def ask(self, options: Options, taken: Collection[str], pause_s: float, again_s: float) -> None:
        """Check these options from now on: after `pause_s`, unless others are asked for meanwhile.

        The same once more only if their checks have ended `again_s` ago, and then nothing is said until all have.
        """
        with self._lock:
            asked = (options, taken)
            again = asked == self._asked
            if again and (not self._ended_at or time.monotonic() - self._ended_at < again_s):
                return
            self._asked = asked
            self._ended_at = 0.0
            if not again:
                self._seen = None if self._seen is None else replace(self._seen, fresh=False)
            self._changed.set()
            self._changed = changed = threading.Event()
        # A daemon, and one for each: the last may still wait for somebody who never answers.
        threading.Thread(
            target=self._run,
            args=(options, taken, 0.0 if again else pause_s, again, changed),
            name="preflight",
            daemon=True,
        ).start()

    def cancel(self) -> None:
        """Let go of what is being asked; what was found out stays, as it is."""
        with self._lock:
            self._changed.set()
            self._asked = None

    def _run(
        self, options: Options, taken: Collection[str], pause_s: float, quiet: bool, changed: threading.Event
    ) -> None:
        if changed.wait(pause_s):
            return
        began = time.monotonic()

        def watch(plan: Plan) -> None:
            if changed.is_set():
                raise _Superseded
            if plan.waiting and not quiet:
                self._show(Outcome(options, plan, took_s=time.monotonic() - began), changed)

        try:
            plan = plan_launch(options, self._home, load_presets(self._home), taken, watch)
            outcome = Outcome(options, plan, took_s=time.monotonic() - began)
        except StokerError as error:
            outcome = Outcome(options, error=error, took_s=time.monotonic() - began)
        except _Superseded:
            return
        self._show(outcome, changed)

    def _show(self, outcome: Outcome, changed: threading.Event) -> None:
        with self._lock:
            if changed.is_set():
                return
            self._seen = outcome
            if outcome.whole:
                self._ended_at = time.monotonic()
        self._told()
