"""Whether an engine answers: a first real token makes it ready, and later silence takes that back.

`/health` alone is no proof (an engine may say 200 and fail on the first request), so readiness is one token asked for
and received. Afterwards `/health` is enough, and is not asked while real requests succeed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import httpx2

FIRST_TOKEN_TIMEOUT_S = 60.0
_RETRY_S = 0.1
# No field that an engine would not know: Transformers refuses such requests.
_ASKED: dict[str, dict[str, str | int]] = {
    "/v1/completions": {"prompt": "Hi", "max_tokens": 1},
    "/v1/embeddings": {"input": "Hi"},
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a ready engine is checked, and how much silence takes its readiness back. All in seconds.

    `failed_checks` in a row do. A check that times out behind requests in flight does not count as one, but only for
    `patience_s` since the engine was last heard of: no request is waited for any longer than that.
    """

    check_every_s: float = 10.0
    timeout_s: float = 5.0
    failed_checks: int = 3
    patience_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """An engine to watch: that of `instance`. `key` is its API key, `health` the path that says it lives."""

    instance: str
    endpoint: str
    key: str
    health: str


class Requests(Protocol):
    """What is known of real requests; `app.control.traffic.Traffic` is the one that knows."""

    async def served_since(self, attempt_id: str, seconds: float) -> bool: ...
    async def in_flight(self, instance: str) -> bool: ...


class Sign(Enum):
    """What a check has shown."""

    ALIVE = "it answers"
    BUSY = "it does not answer, and may be busy with requests"
    SILENT = "it does not answer, although it has nothing to do"


@dataclass(slots=True)
class Health:
    """What probing has shown: `ready` once a token came, `lost` while it has since stopped answering."""

    ready: bool = False
    lost: bool = False


class Prober:
    """One probing task for each live attempt. `changed` is called whenever a verdict changes."""

    def __init__(self, changed: Callable[[], None], requests: Requests, pace: Pace) -> None:
        self._changed = changed
        self._requests = requests
        self._pace = pace
        self._client = httpx2.AsyncClient(trust_env=False, timeout=pace.timeout_s)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._health: dict[str, Health] = {}

    def health(self, attempt_id: str) -> Health:
        """The verdict on an attempt; neither ready nor lost before the first."""
        return self._health.get(attempt_id, Health())

    def watch(self, targets: dict[str, Target], ready: frozenset[str]) -> None:
        """Probe exactly `targets`, by attempt id. `ready` are those that had answered before this server started."""
        for attempt_id in self._tasks.keys() - targets.keys():
            self._tasks.pop(attempt_id).cancel()
            self._health.pop(attempt_id, None)
        for attempt_id in targets.keys() - self._tasks.keys():
            self._health[attempt_id] = Health(ready=attempt_id in ready)
            self._tasks[attempt_id] = asyncio.create_task(self._probe(attempt_id, targets[attempt_id]))

    async def close(self) -> None:
        """End every probe."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._client.aclose()

    async def _probe(self, attempt_id: str, target: Target) -> None:
        health = self._health[attempt_id]
        if not health.ready:
            await self._first_token(target)
            health.ready = True
            self._changed()
        failed, heard_at = 0, time.monotonic()
        while True:
            sign = await self._check(attempt_id, target)
            if sign is Sign.ALIVE:
                if health.lost:
                    await self._first_token(target)
                    health.lost = False
                    self._changed()
                failed, heard_at = 0, time.monotonic()
            elif sign is Sign.SILENT or time.monotonic() - heard_at > self._pace.patience_s:
                failed += 1
                if failed == self._pace.failed_checks:
                    health.lost = True
                    self._changed()
            await asyncio.sleep(self._pace.check_every_s / (self._pace.failed_checks if failed else 1))

    async def _first_token(self, target: Target) -> None:
        """Return once the engine has produced a token, or a vector if that is what it produces."""
        while True:
            for path, body in _ASKED.items():
                try:
                    answer = await self._client.post(
                        target.endpoint + path,
                        json=body,
                        headers={"Authorization": f"Bearer {target.key}"},
                        timeout=FIRST_TOKEN_TIMEOUT_S,
                    )
                except httpx2.HTTPError:
                    break
                if answer.status_code == 200:
                    return
            await asyncio.sleep(_RETRY_S)

    async def _check(self, attempt_id: str, target: Target) -> Sign:
        if await self._requests.served_since(attempt_id, self._pace.check_every_s):
            return Sign.ALIVE
        try:
            answer = await self._client.get(target.endpoint + target.health)
        except httpx2.TimeoutException:
            return Sign.BUSY if await self._requests.in_flight(target.instance) else Sign.SILENT
        except httpx2.HTTPError:
            return Sign.SILENT
        return Sign.ALIVE if answer.status_code < 500 else Sign.SILENT
