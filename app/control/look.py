"""Looking at backends: one loop a backend, so that a slow or dead host never delays another, or a decision."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.boot import boot_us
from backends.base import Backend, CouldNotLook, Resource

LOOK_TIMEOUT_S = 10.0
IDLE_S = 1.0
"""Seconds between two looks when nothing is expected to change; the backend's own minimum otherwise."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Look:
    """The last word of a backend: what it holds, by attempt, from a look that began at `began` (monotonic seconds) and
    `began_boot_us` (microseconds of boot time).

    `failing_since` is when it could first not be looked at, None while it can; `resources` is None before the first.
    """

    resources: dict[str, Resource] | None = None
    began: float = 0.0
    began_boot_us: int = 0
    failing_since: float | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Watcher:
    """Keeps one `Look` a backend fresh. `changed` is called after a look that differs from the one before."""

    # `asyncio.timeout`, never `wait_for`: before Python 3.12 the latter loses a cancellation that comes in the moment
    # in which what it waits for is done, and the loop goes on for ever.

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.looks: dict[str, Look] = {}

    def watch(self, name: str, backend: Backend) -> None:
        """Look at `backend` from now on."""
        if name not in self.looks:
            self.looks[name] = Look()
            self._tasks[name] = asyncio.create_task(self._look(name, backend))

    def hurry(self, names: set[str]) -> None:
        """Something is under way at these backends: look as often as they allow until told nothing more."""
        for name, look in self.looks.items():
            if name in names:
                look.hurry.set()
            else:
                look.hurry.clear()

    async def close(self) -> None:
        """End every loop."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self, name: str, backend: Backend) -> None:
        look = self.looks[name]
        while True:
            began, began_boot_us = time.monotonic(), boot_us()
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    found = await backend.observe()
            except (CouldNotLook, TimeoutError) as error:
                if look.failing_since is None:
                    why = str(error) or f"no answer in {LOOK_TIMEOUT_S:.0f} s"
                    log.warning("backend %s cannot be looked at: %s", name, why)
                    look.failing_since = began
                    self._changed()
            else:
                before, look.resources = look.resources, {r.key: r for r in found}
                look.began, look.began_boot_us = began, began_boot_us
                if look.failing_since is not None or before != look.resources:
                    look.failing_since = None
                    self._changed()
            await self._pause(look, backend.capabilities.min_poll_s)

    async def _pause(self, look: Look, shortest: float) -> None:
        await asyncio.sleep(shortest)
        if not look.hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, IDLE_S - shortest)):
                    await look.hurry.wait()
