"""The control loop: read wishes and rows, look at the world, decide, record, act; again whenever something moved."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from app.boot import boot_us
from app.control import meter, places
from app.control.accounts import Accounts
from app.control.act import Actor
from app.control.apply import Recorder, mark_reachable, mark_released, note_moved
from app.control.clock import Clock
from app.control.gateway import GatewayKeeper
from app.control.jobs import Jobs
from app.control.look import Watcher
from app.control.peaks import Peaks
from app.control.places import Market
from app.control.retention import prune
from app.control.senses import Senses
from app.control.telemetry import Telemetry
from app.control.weights import weights_of
from app.domain import reconcile as rules
from app.domain.budget import Funds
from app.domain.facts import Deployment, Instance, Weights
from app.domain.failures import StokerError
from app.domain.hosts import SIMULATED, parse_address
from app.domain.lifecycle import Phase, State
from app.domain.status import derive
from app.domain.variant import VariantSpec
from app.settings import Home, Settings, SimulatedSettings, load_presets, load_rules, load_settings
from app.store import findings, read
from app.store.sqlite import connect_reader
from app.store.write import LeaseLost, Store, beat_lease
from backends.base import Backend, CouldNotLook

POLL_S = 0.25
"""How often the store is asked whether anybody wrote to it; it costs microseconds."""
PASS_EVERY_S = 1.0
BEAT_EVERY_S = 2.0
PRUNE_EVERY_S = 600.0
_UP = (State.PENDING, State.RUNNING)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rows:
    """One consistent reading of the store."""

    deployments: list[Deployment]
    specs: dict[str, VariantSpec]
    weights: dict[str, Weights]
    jobs: list[sqlite3.Row]
    funds: Funds
    used_at: dict[str, int]
    market: Market

    @property
    def instances(self) -> list[Instance]:
        return [i for d in self.deployments for i in d.instances]

    @property
    def needed(self) -> set[str]:
        """The variants that somebody wishes to run."""
        running = [d for d in self.deployments if d.wish == "running"]
        return {d.variant_id for d in running} | {i.variant_id for d in running for i in d.instances}


class Controller:
    """Everything the server does while it holds the lease of `epoch`."""

    def __init__(self, home: Home, settings: Settings, store: Store, epoch: int, owner: str) -> None:
        self.home = home
        self.store = store
        self.epoch = epoch
        self.owner = owner
        self.clock = Clock()
        self.settings = settings
        self._wake = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._backends: dict[str, Backend] = {}
        self._reachable: dict[str, bool] = {}
        self._held_back: set[str] = set()
        presets = load_presets(home)
        self.gateway = GatewayKeeper(home)
        self.accounts = Accounts(home, settings.billing, self.clock, self.write)
        self.watcher = Watcher(self._wake.set)
        self.actor = Actor(home, owner, presets, settings.server.env, self._wake.set)
        self.jobs = Jobs(home, self.clock, epoch, self.write, self._wake.set)
        self.telemetry = Telemetry(home, settings, self.write)
        self.peaks = Peaks(home, presets, self.write)
        self.senses = Senses(home, settings, presets, load_rules(home), self._wake.set)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set. Raises LeaseLost when another server has taken over."""
        loops = [
            asyncio.create_task(work)
            for work in (
                self._passes(),
                self._polls(),
                self._beats(),
                self._prunes(),
                self.gateway.run(),
                self.accounts.run(self.watcher.looks),
                self.telemetry.run(),
                self.peaks.run(),
            )
        ]
        stop = asyncio.create_task(stopping.wait())
        try:
            done, _ = await asyncio.wait({stop, *loops}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                task.result()
        finally:
            for task in (stop, *loops):
                task.cancel()
            await asyncio.gather(stop, *loops, return_exceptions=True)
            await self.actor.close()
            await self.jobs.close()
            await self.watcher.close()
            if self.jobs.shut_down:
                await self._leave_hosts()
            await self.senses.close()
            self._writer.shutdown()

    async def _leave_hosts(self) -> None:
        """Everything is down: nothing is kept up to reach it any more."""
        for place, backend in self._backends.items():
            try:
                await backend.close()
            except CouldNotLook as error:
                log.warning("the way to %s could not be closed: %s", place, error)

    async def write(self, change: Callable[..., None], *args: Any, **values: Any) -> None:
        """Run `change(session, …)` in one fenced transaction on the writer's thread."""

        def transaction() -> None:
            with self.store.write(self.epoch) as session:
                change(session, *args, **values)

        await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

    async def _passes(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._pass()
            except StokerError as error:
                log.error("%s: %s The next pass tries again.", error.code, error.message)
            except LeaseLost:
                raise
            except Exception:
                log.exception("A pass failed. The next one tries again.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PASS_EVERY_S):
                    await self._wake.wait()

    async def _pass(self) -> None:
        await self._record_calls()
        rows = await asyncio.to_thread(self._load)
        for name in {i.backend for i in rows.instances}:
            self.watcher.watch(name, self._backend(name))
        self.jobs.see(rows.jobs, sum(i.state in _UP for i in rows.instances), rows.needed)
        self.actor.forget({i.id for i in rows.instances}, {i.attempt.id for i in rows.instances if i.attempt})
        world = await self.senses.world(
            rows.deployments,
            rows.specs,
            rows.weights,
            now=self.clock.now(),
            looks=self.watcher.looks,
            actor=self.actor,
            backends=self._backends,
            gateway_up=self.gateway.up,
            blocked=self.accounts.blocked(rows.deployments, rows.specs, rows.funds, rows.used_at),
            shutting_down=self.jobs.shutting_down,
            # What this server was told to take down is not a reboot's; the next one resumes it.
            resume=self.settings.server.resume_after_reboot and not self.jobs.shut_down,
            elsewhere=rows.market.elsewhere,
        )
        await self._record_findings()
        plans = [(d, rules.reconcile(d, world)) for d in rows.deployments]
        moved = [(d, a) for d, a in plans if a or derive(d.wish, d.replicas, d.instances)[0] != d.status]
        if moved:
            await self.write(self._record, moved, world.now, rows.market)
            for deployment, actions in moved:
                self._act(deployment, actions, rows.specs)
        moving = {i.id for d, actions in moved if actions for i in d.instances} | world.busy
        self.watcher.hurry({i.backend for i in rows.instances if i.id in moving or _unsettled(i)})

    def _record(
        self, session: Any, moved: list[tuple[Deployment, list[rules.Action]]], now: int, market: Market
    ) -> None:
        for deployment, actions in moved:
            recorder = Recorder(session, deployment, self.epoch, now, market)
            recorder.apply(actions)
            self._note_held_back(deployment, recorder.held_back)
        meter.follow(session, [deployment.id for deployment, _ in moved], self.clock.instant(now))

    def _note_held_back(self, deployment: Deployment, held_back: bool) -> None:
        if held_back and deployment.id not in self._held_back:
            log.warning("BILLING_BELOW_MINIMUM: %s: no hour of another replica can be held", deployment.name)
        (self._held_back.add if held_back else self._held_back.discard)(deployment.id)

    async def _record_calls(self) -> None:
        """Note what calls to backends and looks at them have brought, before anything is decided on it."""
        if self.actor.released:
            released = frozenset(self.actor.released)
            await self.write(mark_released, released, self.clock.now())
            self.actor.released -= released
        while self.actor.moved:
            await self.write(note_moved, *self.actor.moved.pop(), self.clock.now())
        for name, look in self.watcher.looks.items():
            reachable = look.failing_since is None
            # The first look counts too: the rows may say of a backend what an earlier server found.
            if (look.resources is not None or not reachable) and self._reachable.get(name) != reachable:
                await self.write(mark_reachable, name, None if reachable else self.clock.now())
                self._reachable[name] = reachable

    async def _record_findings(self) -> None:
        if found := tuple(self.senses.found):
            await self.write(findings.record, found)
            del self.senses.found[: len(found)]

    def _act(self, deployment: Deployment, actions: list[rules.Action], specs: dict[str, VariantSpec]) -> None:
        instances = {i.id: i for i in deployment.instances}
        for action in actions:
            match action:
                case rules.Create():
                    instance = instances[action.instance_id]
                    backend, spec = self._backends[instance.backend], specs[instance.variant_id]
                    self.actor.create(backend, deployment.name, instance, spec, self.epoch)
                case rules.Stop():
                    self.actor.stop(self._backends[instances[action.instance_id].backend], action)
                case rules.Release():
                    self.actor.release(self._backends[instances[action.instance_id].backend], action)
        if deployment.id in self._held_back:
            return  # tried again with the next pass, which nothing hurries
        if any(not isinstance(action, rules.Create | rules.Stop | rules.Release) for action in actions):
            self._wake.set()  # rows moved: what follows from them is the next pass's

    def _load(self) -> Rows:
        with read.reading(self.home.store) as connection:
            deployments = read.deployments(connection)
            ids = {i.variant_id for d in deployments for i in d.instances} | {d.variant_id for d in deployments}
            specs = read.specs(connection, sorted(ids))
            jobs = connection.execute("SELECT * FROM jobs WHERE state IN ('queued', 'running')").fetchall()
            weights = weights_of(connection, self.home, specs)
            dear = [d.id for d in deployments if not specs[d.variant_id].price.free or specs[d.variant_id].smart]
            funds, used_at = self.accounts.read(connection, dear)
            market = places.look(connection, self._current_settings(), deployments, specs, self.clock.now())
        return Rows(deployments, specs, weights, jobs, funds, used_at, market)

    def _current_settings(self) -> Settings:
        """The settings as the file has them now, those of the start if it is broken."""
        try:
            return load_settings(self.home)
        except StokerError:
            return self.settings

    def _backend(self, place: str) -> Backend:
        """The backend of a place: `docker@gpu1` is the backend `docker` on the host `gpu1`."""
        if place not in self._backends:
            name, _, host = place.partition("@")
            (entry,) = entry_points(group="stoker.backends", name=name)
            self._backends[place] = entry.load()(self.home.attempts, self.owner, **self._where(name, host))
        return self._backends[place]

    def _where(self, backend: str, host: str) -> dict[str, Any]:
        """What a backend needs to know of a host beside this machine. One that is configured no more is not reached."""
        if not host:
            return {}
        settings = load_settings(self.home)
        if backend == SIMULATED:
            return _played(host, settings.simulated.get(host, SimulatedSettings(faults=("capacity",))))
        found = settings.hosts.get(host)
        address = "" if found is None else str(parse_address(found.address))
        return {"address": address, "host": host, "sockets": self.home.make_runtime()}

    async def _polls(self) -> None:
        last = None
        with closing(connect_reader(self.home.store)) as connection:
            while True:
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                if version != last:
                    last = version
                    self._wake.set()
                await asyncio.sleep(POLL_S)

    async def _beats(self) -> None:
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._writer, beat_lease, self.store, self.epoch, boot_us()
                )
            except StokerError as error:
                log.error("%s: %s", error.code, error.message)
            await asyncio.sleep(BEAT_EVERY_S)

    async def _prunes(self) -> None:
        while True:
            try:
                await asyncio.to_thread(prune, self.home, self.settings.server.log_quota)
            except (OSError, sqlite3.Error) as error:
                log.warning("the attempts' logs could not be pruned: %s", error)
            await asyncio.sleep(PRUNE_EVERY_S)


def _played(name: str, host: SimulatedSettings) -> dict[str, Any]:
    return {
        "host": name,
        "endpoint": host.endpoint,
        "faults": host.faults,
        "prepare": host.prepare,
        "load": host.load,
        "memory": int(host.memory * 2**30),
    }


def _unsettled(instance: Instance) -> bool:
    return instance.state in _UP and instance.phase is not Phase.SERVING
