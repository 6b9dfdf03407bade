"""Random sequences of what may happen to an installation that pays for what it runs, against the truth."""

import os
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.domain.failures import StokerError
from app.domain.money import MICRO, Basis, Price
from app.settings import Home
from app.store.migrate import migrate
from app.store.write import Store
from tests.control.played import SECOND, Crash, Played

FAULTS = (
    "none",
    "none",
    "none",
    "none",
    "oom",
    "capacity",
    "timeout 200",
    "crash 20",
    "crash 90.5",
    "crash 4000.000001",
)


@dataclass(slots=True)
class Sequence:
    """One sequence: an installation, and chance."""

    played: Played
    chance: random.Random
    paid: int = 0

    def go(self) -> None:
        """Let some things happen, and the server see what they came to."""
        self._topup()
        self._launch()
        for _ in range(self.chance.randrange(10, 40)):
            self.chance.choice((*self._happens, *[self._goes_on] * 8))()
        self.played.settle()

    def rest(self) -> None:
        """Stop everything, and wait until nothing is held any more."""
        for deployment in self.played.deployments():
            self.played.stop(deployment.name)
        self.played.settle()

    @property
    def _happens(self) -> list[Callable[[], None]]:
        return [
            self._launch, self._stop, self._start, self._die, self._jump, self._suspend, self._topup, self._ask
        ]  # fmt: skip

    def _launch(self) -> None:
        price = self.chance.choice((1, 7, 600_000, 1_230_001, 99 * MICRO))
        bases: tuple[Basis, ...] = ("second", "second", "use", "token")
        try:
            self.played.launch(Price(price, price, price, self.chance.choice(bases)), self.chance.randrange(1, 4))
        except StokerError as error:
            assert error.code == "BILLING_BELOW_MINIMUM"

    def _stop(self) -> None:
        if found := self.played.deployments():
            self.played.stop(self.chance.choice(found).name)

    def _start(self) -> None:
        if found := self.played.deployments():
            try:
                self.played.start(self.chance.choice(found).name)
            except StokerError as error:
                assert error.code == "BILLING_BLOCKED"

    def _die(self) -> None:
        self.played.run(self.chance.choice(("before it commits", "before it acts")))
        if self.chance.random() < 0.3:
            self.played.machine.wait(3_600 * SECOND)  # nobody is there for an hour
            self.played.start_server()

    def _jump(self) -> None:
        self.played.machine.wall += self.chance.choice((-1, 1)) * self.chance.randrange(1, 86_400 * SECOND)

    def _suspend(self) -> None:
        self.played.machine.wait(8 * 3_600 * SECOND)

    def _topup(self) -> None:
        amount = self.chance.randrange(1, 200 * MICRO)
        self.played.top_up(amount)
        self.paid += amount

    def _ask(self) -> None:
        """Requests come into the store in no order, each answered at some time of the last hours."""
        if ready := sorted(self.played.ready):
            for _ in range(self.chance.randrange(1, 5)):
                began = self.played.machine.wall - self.chance.randrange(7_200 * SECOND)
                us, tokens = self.chance.randrange(3_000 * SECOND), self.chance.randrange(100)
                self.played.request(self.chance.choice(ready), began, us, tokens)

    def _goes_on(self) -> None:
        self.played.machine.wait(self.chance.randrange(1, 90 * SECOND))
        self.played.run()
        if self.chance.random() < 0.5:
            self.played.tick()


def check(sequence: Sequence, seed: int) -> None:
    """The bill is the truth to the micro-unit, and the books hold (reliability.md L1, L5)."""
    played = sequence.played
    assert played.charged() == played.owed(), f"seed {seed}"
    raw = played.raw
    assert raw.execute("SELECT coalesce(sum(amount), 0) FROM postings").fetchone()[0] == 0, f"seed {seed}"
    money = raw.execute("SELECT sum(balance) FROM accounts WHERE id = 'available' OR id LIKE 'held:%'").fetchone()[0]
    assert (money or 0) == sequence.paid - played.charged(), f"seed {seed}"
    spans = raw.execute(
        "SELECT attempt_id, starts, ends, quantity FROM entries WHERE key LIKE 'time:%' ORDER BY attempt_id, id"
    ).fetchall()
    ends: dict[str, int] = {}
    for attempt, starts, end, quantity in spans:
        assert end - starts == quantity > 0, f"seed {seed}"
        assert starts >= ends.get(attempt, 0), f"seed {seed}: two intervals overlap"
        ends[attempt] = end


def run(count: int, seed: int, folder: Path) -> int:
    """Try `count` sequences from `seed` on in `folder`; how many entries they came to. AssertionError names the seed of
    the first that is not billed right."""
    entries = 0
    store = folder / "stoker.db"
    migrate(store, folder / "backups")
    with closing(Store(store)) as writer, writer.write() as session:
        for n in range(seed, seed + count):
            entries += _one(session, n, folder / "host")
    return entries


def _one(session: Session, seed: int, folder: Path) -> int:
    entries = 0
    try:
        with session.begin_nested():
            chance = random.Random(seed)  # noqa: S311 # nothing is kept secret by it
            faults = [chance.choice(FAULTS) for _ in range(chance.randrange(1, 12))]
            sequence = Sequence(Played(session, Home(folder, folder), faults), chance)
            sequence.go()
            check(sequence, seed)
            sequence.rest()
            check(sequence, seed)
            held = sequence.played.raw.execute("SELECT sum(balance) FROM accounts WHERE id LIKE 'held:%'").fetchone()[0]
            assert not held, f"seed {seed}: {held} is held for nothing"
            entries = sequence.played.raw.execute("SELECT count(*) FROM entries").fetchone()[0]
            raise Crash
    except Crash:
        session.expire_all()
    shutil.rmtree(folder, ignore_errors=True)
    return entries


def fresh_seed() -> int:
    """Where to begin, unless somebody says so."""
    return int.from_bytes(os.urandom(4))
