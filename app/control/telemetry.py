"""Sampling hosts and their GPUs: one loop a host, each look in a thread of its own that may hang without harm."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from app.domain.failures import StokerError
from app.domain.gpus import HostFacts, HostLook, Ours, attribute, succeed
from app.hosts.look import PATIENCE_S, Eye, addresses
from app.hosts.stock import take_stock
from app.settings import Home, Settings, load_settings
from app.store import hosts, telemetry
from app.store.read import reading
from app.store.write import LeaseLost

SAMPLE_EVERY_S = 5.0
QUIET_EVERY_S = 15.0
"""Seconds between two looks at a host that has no GPU to be sampled, or does not answer."""
CONFIG_EVERY_S = 2.0
STOCK_AFTER_S, STOCK_EVERY_S = 3.0, 180.0
"""Seconds before what a host has in store is looked through, which makes its disks work, and between two times."""
_REPEAT_US = 60_000_000
"""Where nothing is new, a look is recorded no more often than this: every write wakes all that read."""

T = TypeVar("T")
Writer = Callable[..., Awaitable[None]]

log = logging.getLogger(__name__)


class Telemetry:
    """Keeps the store's picture of every host fresh: this machine, and those that the config names at the moment."""

    def __init__(self, home: Home, settings: Settings, write: Writer) -> None:
        self._home = home
        self._settings = settings
        self._stamp: tuple[int, int] | None = None
        self._write = write
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Sample for ever."""
        try:
            while True:
                try:
                    await self._follow_config()
                except LeaseLost:
                    raise
                except Exception:
                    log.exception("The hosts could not be read from the config. It is tried again.")
                await asyncio.sleep(CONFIG_EVERY_S)
        finally:
            await self._end(set(self._tasks))

    async def _follow_config(self) -> None:
        wanted = set(addresses(await asyncio.to_thread(self._current)).items())
        if wanted == self._tasks.keys():
            return
        await self._end(self._tasks.keys() - wanted)
        with contextlib.suppress(StokerError):  # a store that is busy now is tidied when the config changes next
            await self._write(telemetry.forget_others, {name for name, _ in wanted})
        for name, address in wanted - self._tasks.keys():
            self._tasks[name, address] = asyncio.create_task(self._follow(name, address))

    def _current(self) -> Settings:
        """The settings, read again when the file has changed; a broken file changes nothing."""
        try:
            found = (self._home.config / "config.toml").stat()
            stamp = found.st_mtime_ns, found.st_ino
        except OSError:
            stamp = 0, 0
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._settings = load_settings(self._home)
            except StokerError as error:
                log.warning("%s: %s The hosts stay as they were.", error.code, error.message)
        return self._settings

    async def _end(self, keys: set[tuple[str, str]]) -> None:
        ended = [self._tasks.pop(key) for key in keys]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _follow(self, name: str, address: str) -> None:
        known = asyncio.Event()
        with contextlib.suppress(LeaseLost):  # the beat tells the server
            await asyncio.gather(self._watch(name, address, known), self._count(name, address, known))

    async def _count(self, name: str, address: str, known: asyncio.Event) -> None:
        """Look through what the host has in store, now and then, once the host is `known`; and drop samples of old."""
        await known.wait()
        await asyncio.sleep(STOCK_AFTER_S)
        while True:
            with _Told(name):
                stock = await _in_thread(partial(take_stock, self._home, name, address), f"stock-{name}")
                await self._write(telemetry.record_stock, name, stock)
                await self._write(telemetry.forget_old, name, stock.at)
            await asyncio.sleep(STOCK_EVERY_S)

    async def _watch(self, name: str, address: str, known: asyncio.Event) -> None:
        eye: Eye | None = None
        facts: HostFacts | None = None
        recorded = 0
        while True:
            with _Told(name):
                if eye is None:
                    eye = await asyncio.to_thread(Eye, self._home, name, address)
                    facts = await asyncio.to_thread(self._stored, name)
                work = _in_thread(eye.look, f"look-{name}")
                if not (await asyncio.wait({work}, timeout=PATIENCE_S))[0]:
                    log.warning("host %s has not answered for %.0f s", name, PATIENCE_S)
                    facts = await asyncio.to_thread(self._succeed, facts, name, _silent())
                    await self._write(telemetry.record, facts)
                before, facts = facts, await asyncio.to_thread(self._succeed, facts, name, await work)
                if before is None or _news(before, facts) or facts.look.at - recorded >= _REPEAT_US:
                    await self._write(telemetry.record, facts)
                    recorded = facts.look.at
                    known.set()
            sampled = facts is not None and facts.look.state == "ok"
            await asyncio.sleep(SAMPLE_EVERY_S if sampled else QUIET_EVERY_S)

    def _stored(self, name: str) -> HostFacts | None:
        with reading(self._home.store) as connection:
            return hosts.host(connection, name)

    def _succeed(self, before: HostFacts | None, name: str, look: HostLook) -> HostFacts:
        with reading(self._home.store) as connection:
            ours = hosts.ours(connection).get(name, Ours())
            return succeed(before, name, attribute(look, ours), hosts.wanted(connection))


class _Told:
    """Writes down what goes wrong with a host in its block, which is tried again; a lost lease is let through."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, LeaseLost) or not isinstance(error, Exception):
            return False
        if isinstance(error, StokerError):
            log.warning("host %s: %s: %s", self._name, error.code, error.message)
        else:
            log.error("host %s could not be looked at", self._name, exc_info=error)
        return True


def _news(before: HostFacts, after: HostFacts) -> bool:
    sampled = after.look.state == "ok"
    return sampled or replace(after.look, at=0) != replace(before.look, at=0)


def _silent() -> HostLook:
    text = f"No answer for more than {PATIENCE_S:.0f} s: its driver or the connection hangs."
    return HostLook("unreachable", time.time_ns() // 1_000, code="HOST_UNREACHABLE", detail=text)


def _in_thread(call: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """`call` in a thread that nobody waits for when this process ends: a driver that hangs must not hold it up."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return  # it was given up
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def work() -> None:
        result, failure = None, None
        try:
            result = call()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future
