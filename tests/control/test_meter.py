"""The meter, against the truth about a played host whose engines, server and clocks do what they like."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.boot import boot_us
from app.control import meter
from app.control.clock import Clock
from app.domain.bill import Instant
from app.domain.money import HOUR_US, MICRO, Price
from app.settings import Home
from app.store.bill import standing
from app.store.migrate import migrate
from app.store.tables import Attempt
from app.store.usage import paid
from app.store.verify import Verdict, verify
from app.store.write import Store
from tests.control.played import SECOND, Played, playing
from tests.control.sequences import fresh_seed, run

SEQUENCES = int(os.environ.get("STOKER_SEQUENCES", "20"))
"""How many random sequences a run tries; `python -m bench.sequences` tries ten thousand."""
HOURLY = Price(hour=3_600 * MICRO)
REFUSED = {"attempt_id": None, "instance_id": None, "status": 429}


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    """An installation with money."""
    with playing(tmp_path) as made:
        made.top_up(100_000 * MICRO)
        yield made


def served(played: Played, price: Price) -> str:
    """The attempt of a deployment at this price, which serves."""
    played.launch(price)
    played.serve()
    (attempt,) = played.ready
    return attempt


def charges(played: Played) -> list[sqlite3.Row]:
    return played.raw.execute("SELECT * FROM entries WHERE kind = 'charge' ORDER BY id").fetchall()


@pytest.mark.timeout(600)
def test_random_sequences_are_billed_to_the_micro_unit(tmp_path: Path) -> None:
    seed = fresh_seed()
    print(f"seed {seed}, {SEQUENCES} sequences")
    assert run(SEQUENCES, seed, tmp_path) > SEQUENCES


def test_the_same_tick_twice_bills_once(played: Played) -> None:
    served(played, HOURLY)
    played.machine.wait(90 * SECOND)
    played.settle()
    once = played.charged()
    played.settle()
    assert once == played.charged() == played.owed() == 90 * MICRO


def test_nothing_is_billed_while_nobody_saw_it_alive(played: Played) -> None:
    """A host that cannot be reached is billed when it is again, for all of the time or up to its end."""
    attempt = served(played, HOURLY)
    seen = played.machine.boot
    played.machine.wait(8 * HOUR_US)
    meter.tick(played.session, played.now, {})
    meter.tick(played.session, played.now, {attempt: seen})
    assert played.charged() == 0
    played.settle()
    assert played.charged() == played.owed() == 8 * 3_600 * MICRO


def test_another_boot_is_reckoned_in_utc(played: Played) -> None:
    attempt = served(played, HOURLY)
    began = played.now
    row = played.session.get_one(Attempt, attempt)
    row.ended_at = began.at + 90 * SECOND
    played.session.add(row)
    played.session.flush()
    meter.tick(played.session, Instant("next boot", 5 * SECOND, began.at + 600 * SECOND), {})
    (charge,) = charges(played)
    assert (charge["quantity"], charge["ends"] - began.at) == (90 * SECOND, 90 * SECOND)
    assert played.raw.execute("SELECT closed FROM meters").fetchone()[0] == 1


def test_a_host_that_bills_the_start_is_billed_from_it_whatever_its_clock_says(played: Played) -> None:
    played.launch(Price(hour=3_600 * MICRO, from_start=True))
    played.run()
    played.run()
    played.machine.wall -= 5 * HOUR_US
    played.serve()
    assert 60 * MICRO <= played.charged() < 70 * MICRO


def test_tokens_are_billed_once_in_the_order_they_came_in(played: Played) -> None:
    attempt = served(played, Price(token_in=2_000_001, token_out=6_000_000, basis="token"))
    began = played.machine.wall
    played.request(attempt, began + 5, 1, 31, tokens_out=128)
    played.request(attempt, began + 6, 1, 1_000_000, **REFUSED)
    played.tick()
    played.request(attempt, began + 2, 1, 7, tokens_out=1, estimated=1)  # began earlier, came in later
    played.tick()
    played.tick()
    rows = charges(played)
    assert [(row["quantity"], row["estimated"], row["note"]) for row in rows] == [
        (159, 0, "1 request"),
        (8, 1, "1 request"),
    ]
    assert -sum(row["amount"] for row in rows) == (2_000_001 * 38 + 6_000_000 * 129) // MICRO


def test_seconds_of_use_are_billed_once_however_requests_overlap(played: Played) -> None:
    attempt = served(played, Price(hour=3_600 * MICRO, basis="use"))
    began = played.machine.wall
    played.request(attempt, began + 10 * SECOND, 2 * SECOND, 1)
    played.request(attempt, began + 11 * SECOND, 3 * SECOND, 1)
    played.request(attempt, began + 12 * SECOND, 9 * SECOND, 1, **REFUSED)
    played.request(attempt, began + 13 * SECOND, 9 * SECOND, 0)  # the engine broke off before it did anything
    played.tick()
    played.request(attempt, began + 5 * SECOND, 10 * SECOND, 1)  # was under way all the time
    played.request(attempt, began + 20 * SECOND, SECOND, 1, estimated=1)
    played.tick()
    played.tick()
    rows = charges(played)
    assert [(row["quantity"], row["amount"], row["estimated"]) for row in rows] == [
        (4 * SECOND, -4 * MICRO, 0),
        (7 * SECOND, -7 * MICRO, 1),
    ]
    assert {(row["attempt_id"], row["price"], row["note"]) for row in rows} == {(attempt, 3_600 * MICRO, "2 requests")}
    starts = [[request["started_at"] - began for request in paid(played.raw, dict(row), 100)] for row in rows]
    assert starts == [[10 * SECOND, 11 * SECOND], [5 * SECOND, 20 * SECOND]]


def test_where_an_attempt_was_placed_decides_what_it_costs(played: Played) -> None:
    attempt = served(played, Price(hour=7, basis="use"))
    placement = {"name": "docker@gpu1 L40S", "backend": "docker", "host": "gpu1", "gpus": [0], "price": 3_600 * MICRO}
    played.session.get_one(Attempt, attempt).placement = json.dumps(placement)
    played.request(attempt, played.machine.wall, 2 * SECOND, 1)
    played.tick()
    assert [(row["price"], row["amount"]) for row in charges(played)] == [(3_600 * MICRO, -2 * MICRO)]


def test_what_is_used_counts_before_it_is_booked_and_sets_the_burn(played: Played) -> None:
    attempt = served(played, Price(hour=3_600 * MICRO, basis="use"))
    played.request(attempt, played.machine.wall, 60 * SECOND, 1)
    before = standing(played.raw, played.now)
    assert (before.balance, before.accrued, before.burn) == (99_940 * MICRO, 60 * MICRO, 0)
    played.tick()
    after = standing(played.raw, played.now)
    assert (after.balance, after.accrued, after.burn) == (99_940 * MICRO, 0, 240 * MICRO)
    played.machine.wait(HOUR_US)
    assert standing(played.raw, played.now).burn == 0


def test_a_clock_tells_a_moment_on_both_clocks() -> None:
    clock = Clock()
    now = clock.instant(clock.now())
    assert 0 <= boot_us() - now.boot_us < 60 * SECOND


def test_what_was_billed_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "stoker.db"
    migrate(path, tmp_path / "backups")
    with closing(Store(path)) as store:
        with store.write() as session:
            played = Played(session, Home(tmp_path, tmp_path), faults=("none", "crash 90", "none"))
            played.top_up(100_000 * MICRO)
            for price in (HOURLY, Price(hour=7, basis="use"), Price(token_in=MICRO, basis="token")):
                played.launch(price, 2)
            for _ in range(5):
                played.serve()
                for attempt in list(played.ready):
                    played.request(attempt, played.machine.wall, SECOND, 100)
            played.settle()
        found = verify(path)
    assert found == Verdict(True, found.entries)
    assert found.entries > 10
