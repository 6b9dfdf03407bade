"""Readiness: earned with a token, kept by answers or by real requests, lost by silence that nothing excuses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from app.control.health import Health, Pace, Prober, Target
from tests.control.engine import Engine, engine

PACE = Pace(check_every_s=0.03, timeout_s=0.1, failed_checks=3, patience_s=60)
ATTEMPT = "attempt"


class Requests:
    """What the gateway would say of real requests."""

    def __init__(self) -> None:
        self.served = self.flying = False
        self.asked = 0

    async def served_since(self, attempt_id: str, seconds: float) -> bool:
        self.asked += 1
        return self.served

    async def in_flight(self, instance: str) -> bool:
        return self.flying


class Story:
    """An engine, a prober that watches it, and what the gateway says."""

    def __init__(self, found: Engine, prober: Prober, requests: Requests) -> None:
        self.engine, self.prober, self.requests = found, prober, requests

    @property
    def verdict(self) -> Health:
        return self.prober.health(ATTEMPT)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 # what an engine is asked, nobody here is told
                await asyncio.sleep(0.005)

    async def checked(self, times: int) -> None:
        """Return when the engine was asked for its health `times` times more."""
        goal = self.engine.checks + times
        await self.until(lambda: self.engine.checks >= goal)


@asynccontextmanager
async def watched(pace: Pace = PACE) -> AsyncIterator[Story]:
    async with engine() as found:
        requests = Requests()
        prober = Prober(lambda: None, requests, pace)
        prober.watch({ATTEMPT: Target("demo-a", found.endpoint, "secret", "/health")}, frozenset())
        try:
            yield Story(found, prober, requests)
        finally:
            await prober.close()


def test_ready_means_a_token() -> None:
    async def story() -> None:
        async with watched() as s:
            s.engine.token = 503
            await s.until(lambda: s.engine.tokens_asked > 4)
            assert s.engine.health == 200 and not s.verdict.ready
            s.engine.token = 200
            await s.until(lambda: s.verdict.ready)

    asyncio.run(story())


def test_engines_are_asked_for_nothing_that_they_would_not_know() -> None:
    async def story() -> None:
        async with watched() as s:
            s.engine.token = 404
            await s.until(lambda: s.engine.tokens_asked > 1)
            assert ("/v1/completions", frozenset({"prompt", "max_tokens"})) in s.engine.asked
            assert ("/v1/embeddings", frozenset({"input"})) in s.engine.asked

    asyncio.run(story())


def test_a_hung_engine_with_nothing_to_do_loses_its_readiness_and_earns_it_again() -> None:
    async def story() -> None:
        async with watched() as s:
            await s.until(lambda: s.verdict.ready)
            s.engine.health = None
            await s.until(lambda: s.verdict.lost)
            s.engine.health, s.engine.token = 200, 503
            asked = s.engine.tokens_asked
            await s.until(lambda: s.engine.tokens_asked > asked + 3)
            assert s.verdict.lost, "health alone is no proof"
            s.engine.token = 200
            await s.until(lambda: not s.verdict.lost)

    asyncio.run(story())


def test_silence_behind_requests_in_flight_is_no_failure() -> None:
    async def story() -> None:
        async with watched() as s:
            await s.until(lambda: s.verdict.ready)
            s.requests.flying, s.engine.health = True, None
            await s.checked(PACE.failed_checks + 3)
            assert not s.verdict.lost
            s.requests.flying = False
            await s.until(lambda: s.verdict.lost)

    asyncio.run(story())


def test_requests_in_flight_excuse_silence_only_for_as_long_as_a_request_may_take() -> None:
    async def story() -> None:
        async with watched(replace(PACE, patience_s=0.2)) as s:
            await s.until(lambda: s.verdict.ready)
            s.requests.flying, s.engine.health = True, None
            await s.until(lambda: s.verdict.lost)

    asyncio.run(story())


def test_an_engine_that_refuses_loses_its_readiness_whatever_is_in_flight() -> None:
    async def story() -> None:
        async with watched() as s:
            await s.until(lambda: s.verdict.ready)
            s.requests.flying, s.engine.health = True, 500
            await s.until(lambda: s.verdict.lost)

    asyncio.run(story())


def test_an_engine_that_serves_is_not_asked() -> None:
    async def story() -> None:
        async with watched() as s:
            s.requests.served = True
            await s.until(lambda: s.verdict.ready)
            s.engine.health = None
            await s.until(lambda: s.requests.asked > 10)
            assert s.engine.checks == 0 and not s.verdict.lost

    asyncio.run(story())
