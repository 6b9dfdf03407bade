"""Whether an engine answers: a first real token makes it ready, and later silence takes that back.

`/health` alone is no proof (an engine may say 200 and fail on the first request), so readiness is one token asked for
and received. Afterwards `/health` is enough, and is not asked while real requests succeed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2

FIRST_TOKEN_TIMEOUT_S = 60.0
CHECK_EVERY_S = 10.0
CHECK_TIMEOUT_S = 5.0
FAILED_CHECKS = 3
_RETRY_S = 0.1
_BODY = {"prompt": "Hi", "input": "Hi", "max_tokens": 1}


@dataclass(frozen=True, slots=True)
class Target:
    """An engine to watch. `key` is its API key, `health` the path that says it lives."""

    endpoint: str
    key: str
    health: str


@dataclass(slots=True)
class Health:
    """What probing has shown: `ready` once a token came, `lost` while it has since stopped answering."""

    ready: bool = False
    lost: bool = False


class Prober:
    """One probing task for each live attempt. `changed` is called whenever a verdict changes.

    `served_since(attempt_id, seconds)` says whether a real request to the attempt has succeeded in that time.
    """

    def __init__(self, changed: Callable[[], None], served_since: Callable[[str, float], Awaitable[bool]]) -> None:
        self._changed = changed
        self._served_since = served_since
        self._client = httpx2.AsyncClient(trust_env=False, timeout=CHECK_TIMEOUT_S)
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
        failed = 0
        while True:
            if await self._served_since(attempt_id, CHECK_EVERY_S) or await self._answers(target):
                failed = 0
                if health.lost:
                    await self._first_token(target)
                    health.lost = False
                    self._changed()
            else:
                failed += 1
                if failed == FAILED_CHECKS:
                    health.lost = True
                    self._changed()
            await asyncio.sleep(CHECK_EVERY_S if not failed else CHECK_EVERY_S / FAILED_CHECKS)

    async def _first_token(self, target: Target) -> None:
        """Return once the engine has produced a token, or a vector if that is what it produces."""
        while True:
            for path in ("/v1/completions", "/v1/embeddings"):
                try:
                    answer = await self._client.post(
                        target.endpoint + path,
                        json=_BODY,
                        headers={"Authorization": f"Bearer {target.key}"},
                        timeout=FIRST_TOKEN_TIMEOUT_S,
                    )
                except httpx2.HTTPError:
                    break
                if answer.status_code == 200:
                    return
            await asyncio.sleep(_RETRY_S)

    async def _answers(self, target: Target) -> bool:
        """Whether the engine refuses or fails. Slowness is not failure: it may be behind requests in flight."""
        started = time.monotonic()
        try:
            answer = await self._client.get(target.endpoint + target.health)
        except httpx2.TimeoutException:
            return time.monotonic() - started >= CHECK_TIMEOUT_S
        except httpx2.HTTPError:
            return False
        return answer.status_code < 500
