"""A server of the real parts over a played host, one pass at a time, on clocks of the test's own.

Wishes, rules, recorder, meter, guard and backend are those of the product. Only the time, the loop that waits for it
and the engines' answers are played here: an engine has answered as soon as its host shows where it listens.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

from sqlmodel import Session

from app.control import meter
from app.control.accounts import Accounts
from app.control.apply import Recorder, mark_released
from app.control.clock import Clock
from app.control.judge import Judge
from app.control.places import Market
from app.domain import reconcile as rules
from app.domain.bill import Instant
from app.domain.facts import Deployment, Instance, Seen, World
from app.domain.failures import StokerError
from app.domain.ids import first_ulid, ulid
from app.domain.money import HOUR_US, Price
from app.domain.status import derive
from app.domain.variant import VariantSpec
from app.settings import BillingSettings, Home, load_rules
from app.store import read, wishes
from app.store.ledger import Book, top_up
from app.store.migrate import migrate
from app.store.tables import Deployment as Row
from app.store.tables import Request
from app.store.write import Store
from backends.base import BackendRefused, InstanceSpec, Resource
from backends.scripted import Moment, Record
from backends.simulated import SimulatedBackend
from tests.store.spec import spec

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
BOOT = "boot"
HOST = "play"
Death = Literal["", "before it commits", "before it acts"]
Plans = list[tuple[Deployment, list[rules.Action]]]


class Crash(Exception):
    """The server dies before its transaction is committed."""


@dataclass(slots=True)
class Machine:
    """Two clocks: boot time, which only goes on, and the wall's, which anybody may set."""

    boot: int = 1_000 * SECOND
    wall: int = START

    def wait(self, us: int) -> None:
        """Let time pass."""
        self.boot += us
        self.wall += us

    @property
    def moment(self) -> Moment:
        """Now, as the host counts it."""
        return Moment(self.wall, self.boot, BOOT)


class PlayedClock(Clock):
    """The server's clock: boot time, and an offset that is what it was when the server started."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._offset = machine.wall - machine.boot

    def now(self) -> int:
        return self._machine.boot + self._offset

    def instant(self, at: int) -> Instant:
        return Instant(BOOT, at - self._offset, at)


@dataclass
class Played:
    """An installation in one transaction that is never committed, with a server that may die in any pass.

    `faults` are those of the host's starts. `ready` is the boot time at which a pass that was committed saw an attempt
    answer, `spans` and `tokens` what its requests were, all by attempt id.
    """

    session: Session
    home: Home
    faults: Sequence[str] = ()
    settings: BillingSettings = field(default_factory=BillingSettings)
    load: float = 40.0
    market: Market = field(default_factory=Market)
    machine: Machine = field(default_factory=Machine)
    ready: dict[str, int] = field(default_factory=dict)
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rules = load_rules(self.home)
        self.start_server()

    # --- The server. ---

    def start_server(self) -> None:
        """Another server, which knows what the store and the host say, and nothing else."""
        self._clock = PlayedClock(self.machine)
        self._accounts = Accounts(self.home, self.settings, self._clock, _unused)
        self._judge = Judge(self.home, self._rules)
        self._stops_sent: set[str] = set()
        self._refused: dict[str, BackendRefused] = {}
        self._backend = SimulatedBackend(
            self.home.attempts,
            "owner",
            host=HOST,
            endpoint="http://played",
            faults=self.faults,
            prepare=3.0,
            load=self.load,
            clock=lambda: self.machine.moment,
        )

    @property
    def now(self) -> Instant:
        """This moment as the server counts it."""
        return self._clock.instant(self._clock.now())

    def run(self, death: Death = "") -> bool:
        """One pass: look, decide, record, act; whether there was anything to do. The server that dies in it has a
        successor."""
        now, deployments = self.now, self.deployments()
        ids = {i.variant_id for d in deployments for i in d.instances} | {d.variant_id for d in deployments}
        specs = read.specs(self.raw, sorted(ids))
        seen = self._seen(deployments, specs)
        funds, used_at = self._accounts.read(self.raw, [d.id for d in deployments])
        blocked = self._accounts.blocked(deployments, specs, funds, used_at)
        world = World(now.at, seen, stops_sent=frozenset(self._stops_sent), blocked=blocked, gateway_up=False)
        plans = [(d, rules.reconcile(d, world)) for d in deployments]
        moved = [(d, a) for d, a in plans if a or derive(d.wish, d.replicas, d.instances)[0] != d.status]
        if moved and self._record(moved, now, dies=death == "before it commits") and not death:
            self._act(moved)
        if death:
            self.start_server()
        return bool(moved)

    def tick(self) -> None:
        """What the server does once a minute."""
        alive = {resource.key: self.machine.boot for resource in self._look() if resource.exit is None}
        meter.tick(self.session, self.now, alive)
        meter.give_back(self.session, self.deployments(), self.now.at)
        self.session.flush()

    def serve(self) -> None:
        """Bring up what is wished, as far as its host lets it."""
        self.settle()
        self.machine.wait(60 * SECOND)
        self.settle()

    def goes_on(self, minutes: int) -> None:
        """Let time pass, and the server do its work every minute."""
        for _ in range(minutes):
            self.machine.wait(60 * SECOND)
            self.settle()

    def settle(self) -> None:
        """Passes until nothing is left to do at this moment, or only what there is no money for; and a tick."""
        for _ in range(10):
            if not self.run():
                break
        self.tick()

    def _record(self, plans: Plans, now: Instant, *, dies: bool) -> bool:
        """Record what was decided; whether it was committed."""
        try:
            with self.session.begin_nested():
                for deployment, actions in plans:
                    Recorder(self.session, deployment, 1, now.at, self.market).apply(actions)
                meter.follow(self.session, [deployment.id for deployment, _ in plans], now)
                self.session.flush()
                if dies:
                    raise Crash
        except Crash:
            self.session.expire_all()
            return False
        for attempt in self.raw.execute("SELECT id FROM attempts WHERE ready_at IS NOT NULL"):
            self.ready.setdefault(attempt["id"], self.machine.boot)
        return True

    def _act(self, plans: Plans) -> None:
        for deployment, actions in plans:
            instances = {i.id: i for i in deployment.instances}
            for action in actions:
                match action:
                    case rules.Create():
                        self._create(deployment, instances[action.instance_id], action.attempt_id)
                    case rules.Stop():
                        asyncio.run(self._backend.stop(action.attempt_id, rules.STOP_GRACE_S))
                        self._stops_sent.add(action.attempt_id)
                    case rules.Release():
                        asyncio.run(self._backend.delete(action.attempt_id))
                        mark_released(self.session, [action.attempt_id], self.now.at)
        self.session.flush()

    def _create(self, deployment: Deployment, instance: Instance, attempt_id: str) -> None:
        directory = self.home.attempts / attempt_id
        directory.mkdir(parents=True, exist_ok=True)
        wanted = InstanceSpec("owner", deployment.name, instance.name, 1, "m", "llama.cpp", (), str(directory))
        try:
            asyncio.run(self._backend.create(wanted, attempt_id))
        except BackendRefused as error:
            self._refused[attempt_id] = error

    def _look(self) -> tuple[Resource, ...]:
        return asyncio.run(self._backend.observe())

    def _seen(self, deployments: list[Deployment], specs: dict[str, VariantSpec]) -> dict[str, Seen]:
        resources = {resource.key: resource for resource in self._look()}
        seen = {}
        for instance in (i for d in deployments for i in d.instances):
            attempt = instance.attempt
            if attempt is None or attempt.released_at is not None or attempt.ended_at is not None:
                continue
            resource = resources.get(attempt.id)
            if resource is None:
                if attempt.id in self._refused:
                    ended = self._judge.refused(self._refused[attempt.id])
                    seen[attempt.id] = Seen(ended.at, ended=ended)
            elif resource.exit is not None:
                ended = self._judge.ended(attempt.id, specs[instance.variant_id], resource.exit)
                seen[attempt.id] = Seen(resource.started_at, ended=ended)
            else:
                preparing = resource.presence == "preparing"
                answers = resource.endpoint is not None
                seen[attempt.id] = Seen(resource.started_at, ready=answers, preparing=preparing, moved_at=self.now.at)
        return seen

    # --- What people do. ---

    def top_up(self, amount: int) -> None:
        """Put money in."""
        top_up(Book(self.session, self.now.at), amount, "test")
        self.session.flush()

    def launch(self, price: Price, replicas: int = 1, name: str = "", **changes: Any) -> Row:
        """A new deployment. Raises what refuses it."""
        wanted = spec(**{"backend": "simulated", "host": HOST, "price": price, **changes})
        return self._wish(lambda: wishes.launch(self.session, name or ulid().lower(), wanted, replicas, "test"))

    def start(self, name: str) -> None:
        """Start a deployment. Raises what refuses it."""
        self._wish(lambda: wishes.start(self.session, name, "test"))

    def stop(self, name: str) -> None:
        """Stop a deployment."""
        self._wish(lambda: wishes.stop(self.session, name, "test", immediately=True))

    def _wish(self, wish: Callable[[], Row]) -> Row:
        try:
            with self.session.begin_nested():
                row = wish()
                row.wish_at = self.now.at  # a wish has the time of this machine, which is another
                row.created_at = min(row.created_at, row.wish_at)
                self.session.add(row)
        except StokerError:
            self.session.expire_all()
            raise
        return row

    def request(self, attempt: str, began: int, us: int, tokens: int, **columns: Any) -> None:
        """A request of so many tokens that an attempt answered from `began` on, by the wall's clock, and that comes
        into the store now. `columns` are what of it is not the usual."""
        instance = self.raw.execute(
            "SELECT i.* FROM attempts a JOIN instances i ON i.id = a.instance_id WHERE a.id = ?", (attempt,)
        ).fetchone()
        values: dict[str, Any] = {
            "id": first_ulid(began)[:10] + ulid()[10:],
            "request_id": "r",
            "deployment_id": instance["deployment_id"],
            "instance_id": instance["id"],
            "attempt_id": attempt,
            "path": "/",
            "stream": 0,
            "status": 200,
            "started_at": began,
            "duration_us": us,
            "tokens_in": tokens,
            **columns,
        }
        self.session.add(Request(**values))
        self.session.flush()
        if values["attempt_id"] is not None:
            self.tokens[attempt] = self.tokens.get(attempt, 0) + tokens
            if tokens:
                self.spans.setdefault(attempt, []).append((began, began + us))

    # --- What there is. ---

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection that the session works on, for reading what was written."""
        self.session.flush()
        connection = cast(sqlite3.Connection, self.session.connection().connection.dbapi_connection)
        connection.row_factory = sqlite3.Row
        return connection

    def deployments(self) -> list[Deployment]:
        """Every deployment with its instances."""
        return read.deployments(self.raw)

    def deployment(self, name: str) -> Deployment:
        """One of them."""
        (found,) = read.deployments(self.raw, name)
        return found

    def running(self) -> list[str]:
        """The deployments that the host runs something of, by its own account."""
        ids = [row["id"] for row in self.raw.execute("SELECT id FROM attempts WHERE started_at IS NOT NULL")]
        records = [self._record_of(attempt_id) for attempt_id in ids]
        return sorted({record.deployment for record in records if record.exit(self.machine.moment) is None})

    def charged(self) -> int:
        """What the ledger has charged."""
        found: int = self.raw.execute("SELECT coalesce(-sum(amount), 0) FROM entries WHERE kind = 'charge'").fetchone()[
            0
        ]
        return found

    def owed(self) -> int:
        """What the truth costs: the time of each attempt by the host's own account, the use of each deployment."""
        total = 0
        by_use: dict[str, int] = {}
        for row in self.raw.execute(
            "SELECT a.id, i.deployment_id, v.spec FROM attempts a JOIN instances i ON i.id = a.instance_id"
            " JOIN variants v ON v.id = i.variant_id"
        ).fetchall():
            price, attempt_id = Price(**json.loads(row["spec"])["price"]), row["id"]
            parts = by_use.get(row["deployment_id"], 0)
            if price.basis == "second":
                total += price.hour * self._served(attempt_id) // HOUR_US
            elif price.basis == "use":
                by_use[row["deployment_id"]] = parts + price.hour * covered(self.spans.get(attempt_id, []))
            else:
                by_use[row["deployment_id"]] = parts + price.token_in * self.tokens.get(attempt_id, 0) * 3_600
        return total + sum(parts // HOUR_US for parts in by_use.values())

    def _served(self, attempt_id: str) -> int:
        """For how long an attempt was there after it was ready."""
        if attempt_id not in self.ready:
            return 0
        how = self._record_of(attempt_id).exit(self.machine.moment)
        until = self.machine.boot if how is None else how.boot_us
        assert until is not None
        return until - self.ready[attempt_id]

    def _record_of(self, attempt_id: str) -> Record:
        """What the host keeps of an attempt."""
        path = self.home.state / "simulated" / HOST / f"{attempt_id}.json"
        return Record.from_json(json.loads(path.read_text()))


@contextmanager
def playing(folder: Path, **options: Any) -> Iterator[Played]:
    """An installation in one transaction, which is rolled back."""
    path = folder / "stoker.db"
    migrate(path, folder / "backups")
    with closing(Store(path)) as store, store.write() as session:
        yield Played(session, Home(folder, folder), **options)
        session.rollback()


def covered(spans: Sequence[tuple[int, int]]) -> int:
    """Microseconds that are in any of the spans, counted from edge to edge."""
    edges = sorted({edge for span in spans for edge in span})
    inside = ((a, b) for a, b in pairwise(edges) if any(start <= a and b <= end for start, end in spans))
    return sum(b - a for a, b in inside)


async def _unused(*_: Any, **__: Any) -> None:
    raise AssertionError("only the test writes")
