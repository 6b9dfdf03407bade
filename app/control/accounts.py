"""The server's side of money: who is blocked, a tick a minute, holds given back, and a check of the ledger a day."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from sqlmodel import Session

from app.boot import boot_us
from app.control import meter
from app.control.clock import Clock
from app.control.look import Look
from app.domain import budget
from app.domain.bill import accrued
from app.domain.budget import Caps, Funds
from app.domain.facts import Deployment
from app.domain.failures import StokerError
from app.domain.money import DAY_US, Price
from app.domain.variant import VariantSpec
from app.settings import BillingSettings, Home
from app.store import bill, read
from app.store.tables import Setting
from app.store.usage import unbilled
from app.store.verify import Verdict, verify

VERIFIED = "ledger_verified"
"""The setting that keeps what the last check found: `at`, `ok`, `entries`, `first_bad`, `reason`."""

log = logging.getLogger(__name__)


class Accounts:
    """Reads what there is to spend, and writes what was spent. `write` runs a change under the lease."""

    def __init__(
        self, home: Home, settings: BillingSettings, clock: Clock, write: Callable[..., Awaitable[None]]
    ) -> None:
        self._home = home
        self._caps = Caps(
            int(settings.cap_start), int(settings.cap_launch), int(settings.cap_day), int(settings.cap_month)
        )
        self._order = settings.stop_order
        self._clock = clock
        self._write = write
        self._blocked: dict[str, str] = {}

    def read(self, connection: sqlite3.Connection, dear: Iterable[str]) -> tuple[Funds, dict[str, int]]:
        """The money as it is now, and when each of the deployments `dear` last had a request (UTC us)."""
        now = self._clock.instant(self._clock.now())
        meters = bill.open_meters(connection)
        held, spent = bill.held_and_spent(connection)
        run_up = {used.deployment_id: used.amount for used in unbilled(connection.execute)}
        for running in meters:
            run_up[running.deployment_id] = run_up.get(running.deployment_id, 0) + accrued([running], now)
        total = sum(run_up.values())
        funds = Funds(
            available=bill.available(connection),
            held=held,
            accrued=run_up,
            spent=spent,
            today=bill.spent_since(connection, now.at // DAY_US) + total,
            month=bill.spent_since(connection, bill.first_of_month(now.at)) + total,
        )
        return funds, {name: bill.last_request(connection, name) for name in dear}

    def blocked(
        self,
        deployments: Sequence[Deployment],
        specs: Mapping[str, VariantSpec],
        funds: Funds,
        used_at: Mapping[str, int],
    ) -> dict[str, str]:
        """The deployments that may not run, by id, with the reason; said in the log when it changes."""
        prices = _prices(deployments, specs)
        found = budget.blocked(deployments, prices, funds, self._caps, self._order, lambda name: used_at.get(name, 0))
        for deployment in deployments:
            if deployment.id in found and deployment.id not in self._blocked:
                log.warning("BILLING_BLOCKED: %s: %s", deployment.name, found[deployment.id])
        self._blocked = found
        return found

    async def run(self, looks: Mapping[str, Look]) -> None:
        """Bill every minute, check at the start and every day."""
        checks = asyncio.create_task(self._check_daily())
        try:
            while True:
                await self._tick(looks)
                await asyncio.sleep(meter.TICK_S)
        finally:
            checks.cancel()

    async def _tick(self, looks: Mapping[str, Look]) -> None:
        alive = {
            key: look.began_boot_us
            for look in looks.values()
            for key, resource in (look.resources or {}).items()
            if resource.exit is None
        }
        try:
            deployments = await asyncio.to_thread(self._deployments)
            await self._write(_tick, self._clock, alive, deployments)
        except StokerError as error:
            log.error("%s: %s The next tick bills what this one did not.", error.code, error.message)

    def _deployments(self) -> list[Deployment]:
        with read.reading(self._home.store) as connection:
            return read.deployments(connection)

    async def _check_daily(self) -> None:
        while True:
            began = boot_us()
            try:
                found = await asyncio.to_thread(verify, self._home.store)
                (log.info if found.ok else log.error)("the ledger: %s", found)
                await self._write(_note_check, found, self._clock.now())
            except StokerError as error:
                log.error("the ledger could not be checked: %s: %s", error.code, error.message)
            await asyncio.sleep((DAY_US - (boot_us() - began)) // 1_000_000)


def _tick(session: Session, clock: Clock, alive: Mapping[str, int], deployments: list[Deployment]) -> None:
    now = clock.instant(clock.now())
    meter.tick(session, now, alive)
    meter.give_back(session, deployments, now.at)


def _note_check(session: Session, found: Verdict, now: int) -> None:
    row = session.get(Setting, VERIFIED) or Setting(key=VERIFIED, value="")
    row.value = json.dumps(
        {"at": now, "ok": found.ok, "entries": found.entries, "first_bad": found.first_bad, "reason": found.reason}
    )
    session.add(row)


def _prices(deployments: Sequence[Deployment], specs: Mapping[str, VariantSpec]) -> dict[str, Price]:
    """What a replica of each variant costs; where it may run anywhere, the dearest place where one of it runs."""
    placed: dict[str, int] = {}
    for instance in (i for d in deployments for i in d.instances):
        attempt = instance.attempt
        if attempt is not None and attempt.placement is not None and attempt.ended_at is None:
            placed[instance.variant_id] = max(placed.get(instance.variant_id, 0), attempt.placement.price)
    return {variant_id: spec.price.placed(placed.get(variant_id)) for variant_id, spec in specs.items()}
