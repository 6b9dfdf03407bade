"""The loops that look at backends."""

import asyncio

from app.control.look import Watcher
from backends.base import Capabilities, HostFacts, InstanceSpec, Resource


class Slow:
    """A backend whose look takes until `answer` is set."""

    capabilities = Capabilities(stop_frees="all", logs="none", min_poll_s=0.0)

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.looked = asyncio.Event()

    async def observe(self) -> tuple[Resource, ...]:
        self.looked.set()
        await self.answer.wait()
        return ()

    async def probe(self) -> HostFacts:
        raise NotImplementedError

    async def create(self, spec: InstanceSpec, key: str) -> None:
        raise NotImplementedError

    async def stop(self, key: str, grace_s: float) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def test_a_watcher_closes_in_the_very_moment_in_which_a_look_ends() -> None:
    async def story() -> None:
        backend, watcher = Slow(), Watcher(lambda: None)
        watcher.watch("slow", backend)
        await backend.looked.wait()
        backend.answer.set()
        async with asyncio.timeout(5):
            await watcher.close()

    asyncio.run(story())


def test_a_watcher_closes_in_the_very_moment_in_which_it_is_told_to_hurry() -> None:
    async def story() -> None:
        backend, changed = Slow(), asyncio.Event()
        backend.answer.set()
        watcher = Watcher(changed.set)
        watcher.watch("slow", backend)
        await changed.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        watcher.hurry({"slow"})
        async with asyncio.timeout(5):
            await watcher.close()

    asyncio.run(story())
