"""The meter against a model of the truth: random lives, crashes, clocks that jump, and money to the micro-unit."""

import json
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from sqlmodel import Session

from app.boot import boot_us
from app.control import meter
from app.control.clock import Clock
from app.domain.bill import Instant
from app.domain.ids import first_ulid, ulid
from app.domain.money import HOUR_US, MICRO
from app.store.bill import standing
from app.store.ledger import Book, top_up
from app.store.tables import Attempt, Deployment, Instance, Request, Variant
from app.store.usage import paid
from app.store.verify import Verdict, verify
from app.store.write import Store

SEQUENCES = int(os.environ.get("STOKER_METER_SEQUENCES", "150"))
"""How many random sequences a run tries; ten thousand take a few minutes."""
SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def seeded(seed: int) -> random.Random:
    """Chance that comes out the same for the same seed."""
    return random.Random(seed)  # noqa: S311 # nothing is kept secret by it


def plain(session: Session) -> sqlite3.Connection:
    """The connection that the session works on."""
    session.flush()
    return cast(sqlite3.Connection, session.connection().connection.dbapi_connection)


class Crash(Exception):
    """The server dies before its transaction is committed."""


@dataclass(slots=True)
class Engine:
    """The truth about one attempt: boot time at which it was ready and ended, as its backend knows them."""

    attempt: str
    price: int
    basis: str = "second"
    ready: int | None = None
    ended: int | None = None
    recorded: bool = False
    spans: list[tuple[int, int]] = field(default_factory=list)
    tokens: int = 0


@dataclass(slots=True)
class World:
    """A machine with two clocks, the engines on it, and a server that comes and goes."""

    session: Session
    chance: random.Random
    boot: int = 1_000 * SECOND
    wall: int = START
    offset: int = START - 1_000 * SECOND
    paid: int = 0
    engines: list[Engine] = field(default_factory=list)
    deployments: dict[str, str] = field(default_factory=dict)

    def now(self) -> Instant:
        """The moment as the server counts it: its own offset, set when it started."""
        return Instant("boot", self.boot, self.boot + self.offset)

    def step(self) -> None:
        """One thing happens."""
        common = "ready", "pass", "ask"
        seldom = "launch", "end", "jump", "suspend", "restart", "topup", "crash", "wait"
        what = self.chance.choice((*common, *common, *seldom))
        getattr(self, what)()

    def wait(self) -> None:
        self._advance(self.chance.randrange(1, 90 * SECOND))

    def suspend(self) -> None:
        self._advance(8 * 3_600 * SECOND)

    def jump(self) -> None:
        self.wall += self.chance.choice((-1, 1)) * self.chance.randrange(1, 86_400 * SECOND)

    def restart(self) -> None:
        """The server is killed and starts again an hour later, with the wall clock as it is then."""
        self._advance(self.chance.choice((1, 3_600)) * SECOND)
        self.offset = self.wall - self.boot

    def topup(self) -> None:
        amount = self.chance.randrange(1, 50 * MICRO)
        top_up(Book(self.session, self.now().at), amount, "test")
        self.session.flush()
        self.paid += amount

    def launch(self, basis: str | None = None) -> None:
        price = self.chance.choice((1, 7, 600_000, 1_230_001, 99 * MICRO))
        basis = basis or self.chance.choice(("second", "second", "use", "token"))
        deployment, variant, instance, attempt = ulid(), ulid(), ulid(), ulid()
        spec = json.dumps({"price": {"hour": price, "token_in": price, "token_out": price, "basis": basis}})
        self.session.add(Variant(id=variant, deployment_id=deployment, number=1, spec=spec, created_at=1))
        self.session.add(
            Deployment(
                id=deployment,
                name=deployment.lower(),
                wish="running",
                wish_at=1,
                replicas=1,
                variant_id=variant,
                status="DEPLOYED",
                created_at=1,
            )
        )
        self.session.flush()
        self.session.add(
            Instance(
                id=instance,
                deployment_id=deployment,
                variant_id=variant,
                name=f"{deployment.lower()}-a",
                backend="process",
                state="running",
                phase="serving",
                since=1,
                attempt_id=attempt,
                created_at=1,
            )
        )
        self.session.flush()
        self.session.add(Attempt(id=attempt, instance_id=instance, number=1, epoch=1, created_at=1))
        self.session.flush()
        self.engines.append(Engine(attempt, price, basis))
        self.deployments[attempt] = deployment

    def ready(self) -> None:
        """The server sees a first token, and records it with the meter in one transaction."""
        for engine in self.engines:
            if engine.ready is None and engine.ended is None:
                row = self.session.get_one(Attempt, engine.attempt)
                row.ready_at = self.now().at
                self.session.add(row)
                self.session.flush()
                meter.follow(self.session, [self.deployments[engine.attempt]], self.now())
                engine.ready = self.boot
                return

    def ask(self) -> None:
        """Requests to a flex replica come into the store, in no order, each answered at some time of the last hours."""
        flex = [engine for engine in self.engines if engine.basis != "second" and engine.ready is not None]
        for engine in flex[:1]:
            for _ in range(self.chance.randrange(1, 5)):
                began = self.wall - self.chance.randrange(2 * 3_600 * SECOND)
                self._request(engine, began, self.chance.randrange(3_000 * SECOND), self.chance.randrange(100))

    def _request(self, engine: Engine, began: int, us: int, tokens: int) -> None:
        row = self.session.get_one(Attempt, engine.attempt)
        request = Request(
            id=first_ulid(began)[:10] + ulid()[10:],
            request_id="r",
            deployment_id=self.deployments[engine.attempt],
            instance_id=row.instance_id,
            attempt_id=engine.attempt,
            path="/",
            stream=0,
            status=200,
            started_at=began,
            duration_us=us,
            tokens_in=tokens,
        )
        self.session.add(request)
        self.session.flush()
        engine.tokens += tokens
        if tokens:
            engine.spans.append((began, began + us))

    def end(self) -> None:
        """An engine dies; nobody has seen it yet."""
        alive = [engine for engine in self.engines if engine.ended is None]
        if alive:
            self.chance.choice(alive).ended = self.boot

    def crash(self) -> None:
        """A pass is carried out and lost, because the server dies before it commits."""
        with pytest.raises(Crash), self.session.begin_nested():
            self.look()
            raise Crash
        self.session.expire_all()

    def look(self) -> None:
        """The server looks: what has ended is recorded and billed, what lives is billed as far as it was seen."""
        for engine in self.engines:
            if engine.ended is not None and not engine.recorded:
                row = self.session.get_one(Attempt, engine.attempt)
                # The exit as the keeper wrote it: the wall clock may have been anything.
                row.ended_at, row.ended_boot_us = max(1, self.wall - self.chance.randrange(SECOND)), engine.ended
                self.session.add(row)
                self.session.flush()
                meter.follow(self.session, [self.deployments[engine.attempt]], self.now())
        alive = {engine.attempt: self.boot for engine in self.engines if engine.ended is None}
        meter.tick(self.session, self.now(), alive)
        self.session.flush()

    def settle(self) -> None:
        """A look that is committed."""
        self.look()
        for engine in self.engines:
            engine.recorded = engine.ended is not None

    def owed(self) -> int:
        """What the truth costs: each engine's time, or what was used of it, as one piece."""
        total = 0
        for engine in self.engines:
            if engine.ready is None:
                continue
            if engine.basis == "token":
                total += engine.price * engine.tokens // MICRO
                continue
            time = (engine.ended or self.boot) - engine.ready
            total += engine.price * (covered(engine.spans) if engine.basis == "use" else time) // HOUR_US
        return total

    def _advance(self, us: int) -> None:
        self.boot += us
        self.wall += us


def covered(spans: list[tuple[int, int]]) -> int:
    """Microseconds that are in any of the spans, counted from edge to edge."""
    edges = sorted({edge for span in spans for edge in span})
    inside = ((a, b) for a, b in pairwise(edges) if any(start <= a and b <= end for start, end in spans))
    return sum(b - a for a, b in inside)


# `pass` is no name for a method.
setattr(World, "pass", World.settle)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """One transaction in an empty store, never committed: every sequence is rolled back to it."""
    from app.store.migrate import migrate

    path = tmp_path / "stoker.db"
    migrate(path, tmp_path / "backups")
    store = Store(path)
    with store.write() as session:
        yield session
    store.close()


def test_random_lives_are_billed_to_the_micro_unit(session: Session) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}, {SEQUENCES} sequences")
    for n in range(SEQUENCES):
        with pytest.raises(Crash), session.begin_nested():
            world = World(session, seeded(seed + n))
            for _ in range(world.chance.randrange(5, 30)):
                world.step()
            world.settle()
            _check(world, f"seed {seed + n}")
            raise Crash
        session.expire_all()


def _check(world: World, seed: str) -> None:
    raw = plain(world.session)
    charged = raw.execute("SELECT coalesce(-sum(amount), 0) FROM entries WHERE kind = 'charge'").fetchone()[0]
    assert charged == world.owed(), seed
    money = raw.execute("SELECT sum(balance) FROM accounts WHERE id = 'available' OR id LIKE 'held:%'").fetchone()[0]
    assert (money or 0) == world.paid - charged, seed
    assert raw.execute("SELECT coalesce(sum(amount), 0) FROM postings").fetchone()[0] == 0, seed
    spans = raw.execute(
        "SELECT attempt_id, starts, ends, quantity FROM entries WHERE key LIKE 'time:%' ORDER BY attempt_id, id"
    ).fetchall()
    ends: dict[str, int] = {}
    for attempt, starts, end, quantity in spans:
        assert end - starts == quantity > 0, seed
        assert starts >= ends.get(attempt, 0), f"{seed}: two intervals overlap"
        ends[attempt] = end


def test_the_same_tick_twice_bills_once(session: Session) -> None:
    world = World(session, seeded(1))
    world.launch("second")
    world.ready()
    world.wait()
    world.settle()
    before = world.owed()
    world.settle()
    world.settle()
    _check(world, "no seed")
    assert world.owed() == before


def test_nothing_is_billed_while_nobody_saw_it_alive(session: Session) -> None:
    """A host that cannot be reached is billed when it is again, for all of the time or up to its end."""
    world = World(session, seeded(1))
    world.launch("second")
    world.ready()
    seen = world.boot
    world.suspend()
    meter.tick(session, world.now(), {})
    meter.tick(session, world.now(), {world.engines[0].attempt: seen})
    raw = plain(session)
    assert raw.execute("SELECT count(*) FROM entries").fetchone()[0] == 0
    world.settle()
    _check(world, "no seed")


def test_another_boot_is_reckoned_in_utc(session: Session) -> None:
    world = World(session, seeded(1))
    world.launch("second")
    world.ready()
    began = world.now()
    attempt = session.get_one(Attempt, world.engines[0].attempt)
    attempt.ended_at = began.at + 90 * SECOND
    session.add(attempt)
    session.flush()
    meter.tick(session, Instant("next boot", 5 * SECOND, began.at + 600 * SECOND), {})
    session.flush()
    raw = plain(session)
    assert raw.execute("SELECT coalesce(sum(quantity), 0) FROM entries").fetchone()[0] in (0, 90 * SECOND)
    assert raw.execute("SELECT cursor_at - ?, closed FROM meters", (began.at,)).fetchone() == (90 * SECOND, 1)


@dataclass(slots=True)
class Flex:
    """A replica that is billed by what it is used, and what comes into the store of it."""

    world: World
    attempt: str
    instance: str
    deployment: str

    def request(
        self, number: int, tokens: tuple[int, int] = (1, 1), us: int = 0, *, refused: bool = False, estimated: int = 0
    ) -> None:
        """A request that began `number` microseconds after the world did."""
        row = Request(
            id=f"{first_ulid(START)[:10]}{number:016}",
            request_id="r",
            deployment_id=self.deployment,
            instance_id=None if refused else self.instance,
            attempt_id=None if refused else self.attempt,
            path="/",
            stream=0,
            status=429 if refused else 200,
            started_at=START + number,
            duration_us=us,
            tokens_in=tokens[0],
            tokens_out=tokens[1],
            estimated=estimated,
        )
        self.world.session.add(row)
        self.world.session.flush()

    def tick(self) -> None:
        meter.tick(self.world.session, self.world.now(), {})
        self.world.session.flush()

    def entries(self) -> list[sqlite3.Row]:
        raw = plain(self.world.session)
        raw.row_factory = sqlite3.Row
        return raw.execute("SELECT * FROM entries ORDER BY id").fetchall()


def flex(session: Session, **price: object) -> Flex:
    """A replica of a flex deployment with this price."""
    world = World(session, seeded(1))
    world.launch("second")
    attempt = world.engines[0].attempt
    instance = session.get_one(Instance, session.get_one(Attempt, attempt).instance_id)
    spec = json.dumps({"price": price})
    deployment = world.deployments[attempt]
    variant = Variant(id=ulid(), deployment_id=deployment, number=2, spec=spec, created_at=1)
    session.add(variant)
    session.flush()
    instance.variant_id = variant.id
    session.flush()
    return Flex(world, attempt, instance.id, deployment)


def test_tokens_are_billed_once_in_the_order_they_came_in(session: Session) -> None:
    replica = flex(session, basis="token", token_in=2_000_001, token_out=6_000_000)
    replica.request(5, (31, 128))
    replica.request(6, (1_000_000, 0), refused=True)
    replica.tick()
    plain(session).execute("DELETE FROM requests WHERE attempt_id IS NULL")  # the gateway keeps some only
    replica.request(2, (7, 1), estimated=1)  # began earlier, came in later
    replica.tick()
    replica.tick()
    rows = replica.entries()
    assert [(row["quantity"], row["estimated"], row["note"]) for row in rows] == [
        (159, 0, "1 request"),
        (8, 1, "1 request"),
    ]
    assert -sum(row["amount"] for row in rows) == (2_000_001 * 38 + 6_000_000 * 129) // MICRO


def test_seconds_of_use_are_billed_once_however_requests_overlap(session: Session) -> None:
    replica = flex(session, basis="use", hour=3_600 * MICRO)
    replica.request(10 * SECOND, us=2 * SECOND)
    replica.request(11 * SECOND, us=3 * SECOND)
    replica.request(12 * SECOND, us=9 * SECOND, refused=True)
    replica.request(13 * SECOND, (0, 0), us=9 * SECOND)  # the engine broke off before it did anything
    replica.tick()
    replica.request(5 * SECOND, us=10 * SECOND)  # was under way all the time
    replica.request(20 * SECOND, us=SECOND, estimated=1)
    replica.tick()
    replica.tick()
    rows = replica.entries()
    assert [(row["quantity"], row["amount"], row["estimated"]) for row in rows] == [
        (4 * SECOND, -4 * MICRO, 0),
        (7 * SECOND, -7 * MICRO, 1),
    ]
    assert {(row["attempt_id"], row["price"], row["note"]) for row in rows} == {
        (replica.attempt, 3_600 * MICRO, "2 requests")
    }
    began = [[request["started_at"] - START for request in paid(plain(session), dict(row), 100)] for row in rows]
    assert began == [[10 * SECOND, 11 * SECOND], [5 * SECOND, 20 * SECOND]]


def test_where_an_attempt_was_placed_decides_what_it_costs(session: Session) -> None:
    replica = flex(session, basis="use", hour=7)
    placement = {"name": "docker@gpu1 L40S", "backend": "docker", "host": "gpu1", "gpus": [0], "price": 3_600 * MICRO}
    session.get_one(Attempt, replica.attempt).placement = json.dumps(placement)
    replica.request(10 * SECOND, us=2 * SECOND)
    replica.tick()
    assert [(row["price"], row["amount"]) for row in replica.entries()] == [(3_600 * MICRO, -2 * MICRO)]


def test_what_is_used_counts_before_it_is_booked_and_sets_the_burn(session: Session) -> None:
    replica = flex(session, basis="use", hour=3_600 * MICRO)
    world = replica.world
    top_up(Book(session, world.now().at), 100 * MICRO, "test")
    replica.request(0, us=60 * SECOND)
    raw = plain(session)
    raw.row_factory = sqlite3.Row
    before = standing(raw, world.now())
    assert (before.balance, before.accrued, before.burn) == (40 * MICRO, 60 * MICRO, 0)
    replica.tick()
    after = standing(raw, world.now())
    assert (after.balance, after.accrued, after.burn) == (40 * MICRO, 0, 240 * MICRO)
    assert after.warning == "very low"
    world.suspend()
    assert standing(raw, world.now()).burn == 0


def test_a_clock_tells_a_moment_on_both_clocks() -> None:
    clock = Clock()
    now = clock.instant(clock.now())
    assert 0 <= boot_us() - now.boot_us < 60 * SECOND


def test_what_was_billed_is_verified(tmp_path: Path) -> None:
    from app.store.migrate import migrate

    path = tmp_path / "stoker.db"
    migrate(path, tmp_path / "backups")
    with closing(Store(path)) as store:
        with store.write() as session:
            world = World(session, seeded(7))
            for _ in range(60):
                world.step()
            world.settle()
        found = verify(path)
    assert found == Verdict(True, found.entries)
    assert found.entries > 3
