"""The Ledger screen: what is left, what was spent by day, every entry; money in, and back out as a file."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from app.domain.money import DAY_US, MICRO, Price
from app.settings import Home
from app.store.ledger import Book, Draft, charge_moves, top_up
from app.store.tables import Attempt, Meter
from app.store.write import Store
from tests.screens.support import HOUR, Scribe
from tests.screens.talking import Person, visit
from tests.widgets.support import LARGE, SMALL

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
ENTRIES = 2_000


def spend(home: Home, deployments: list[str], entries: int) -> None:
    """A month of charges for these deployments in turn, after a top-up of 500."""
    now = time.time_ns() // 1_000
    with closing(Store(home.store)) as store, store.write() as session:
        book = Book(session, now - 3 * DAY_US)
        top_up(book, 500 * MICRO, "ada")
        for n in range(entries):
            book.now = now - (entries - n) * 3 * DAY_US // entries
            deployment = deployments[n % len(deployments)]
            moves = charge_moves(book, deployment, 10_000 + n)
            draft = Draft(
                "charge", f"c{n}", moves, "server", deployment, quantity=60 * MICRO, unit="us", price=600_000,
                starts=book.now, ends=book.now + 60 * MICRO,
            )  # fmt: skip
            book.post(draft)


def costly(scribe: Scribe, price: int = 600_000) -> tuple[str, str]:
    """A deployment that runs at a price; it and its attempt."""
    demo = scribe.deployment("demo")
    attempt = scribe.attempt(scribe.instance(demo))
    with closing(Store(scribe.home.store)) as store, store.write() as session:
        from app.boot import instant

        now = instant()
        row = session.get_one(Attempt, attempt)
        row.ready_at = scribe.now - 4 * HOUR
        session.add(row)
        session.add(
            Meter(
                attempt_id=attempt,
                deployment_id=demo,
                price=price,
                boot_id=now.boot_id,
                cursor_us=now.boot_us,
                cursor_at=now.at,
            )
        )
    return demo, attempt


@pytest.mark.parametrize("size", SIZES)
def test_it_shows_what_is_left_what_was_spent_and_every_entry(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        demo, _ = costly(scribe)
        spend(scribe.home, [demo, scribe.deployment("coder")], ENTRIES)

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("runway", "coder", "0.60/h", "QUANTITY" if size == LARGE else "KIND")
            await person.sees("478.001000")  # 500 less the sum of the charges
            await person.presses("G")
            await person.sees("topup", "500.000000")
            await person.presses("g")
            await person.presses("enter")
            await person.sees("Entry 2,001", "0.60/h" if size == LARGE else "amount")

        visit(scribe.home, scene, size)


def test_a_day_can_be_listed_by_itself(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        spend(scribe.home, [scribe.deployment("demo")], 50)

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("demo")
            await person.presses("left", "left", "d")
            await person.sees("by UTC; d for all")
            await person.presses("d")
            await person.sees("all entries")

        visit(scribe.home, scene)


def test_what_costs_without_being_used_is_said_with_what_would_end_it(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        costly(scribe)

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("0.60/h loaded, no request in", "stoker stop demo")

        visit(scribe.home, scene)


@pytest.mark.parametrize(("left", "shown"), [(10 * MICRO, "16 h"), (MICRO // 2, "50 m"), (MICRO // 10, "10 m")])
def test_every_screen_says_what_is_left_where_money_is_in_use(tmp_path: Path, left: int, shown: str) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        costly(scribe)
        with closing(Store(scribe.home.store)) as store, store.write() as session:
            top_up(Book(session, scribe.now), left + MICRO // 1000, "ada")

        async def scene(person: Person) -> None:
            await person.sees(shown, "0.60/h")
            await person.presses("6")
            await person.sees(shown, "0.60/h")

        visit(scribe.home, scene)


def test_the_fleet_says_what_each_costs_where_something_has_a_price(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        dear = scribe.deployment("dear", {"price": Price(hour=1_200_000)})
        scribe.attempt(scribe.instance(dear, ready_at=scribe.now - HOUR))
        scribe.deployment("free")

        async def scene(person: Person) -> None:
            await person.sees("USD/H", "1.20")

        visit(scribe.home, scene)


def test_where_no_money_is_in_use_nothing_is_said_of_it(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        scribe.instance(scribe.deployment("demo"))

        async def scene(person: Person) -> None:
            await person.sees("demo")
            assert "USD" not in person.screen
            await person.presses("5")
            await person.sees("Nothing was put in yet")

        visit(scribe.home, scene)


def test_all_entries_are_written_into_a_file(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        spend(scribe.home, [scribe.deployment("demo")], 50)
        path = scribe.home.state / "ledger.csv"

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("demo")
            await person.presses("e")
            await person.waits(path.exists)
            await person.sees("51 entries in")

        visit(scribe.home, scene)
        assert len(path.read_text().splitlines()) == 52
        assert path.stat().st_mode & 0o777 == 0o600
