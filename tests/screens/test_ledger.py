"""The Ledger screen: what is left, what was spent by day, every entry; money in, and back out as a file."""

import re
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.boot import instant
from app.control import meter
from app.domain.money import DAY_US, MICRO, Price
from app.screens.base import TABS
from app.settings import Home
from app.store.ledger import Book, Draft, charge_moves, top_up
from app.store.tables import Attempt, Meter
from app.store.write import Store
from tests.screens.support import HOUR, MINUTE, SECOND, Scribe
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


def costly(scribe: Scribe, price: int = 600_000, since: int = 4 * HOUR) -> tuple[str, str]:
    """A deployment that has run at a price for so long; it and its attempt."""
    demo = scribe.deployment("demo")
    attempt = scribe.attempt(scribe.instance(demo))
    with closing(Store(scribe.home.store)) as store, store.write() as session:
        now = instant()
        row = session.get_one(Attempt, attempt)
        row.ready_at = scribe.now - since
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


@pytest.mark.parametrize("size", SIZES)
def test_the_ledger(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        # So cheap, and so far from the next cent, that what runs up meanwhile is not seen.
        demo, attempt = costly(scribe, 60_000, 4 * 24 * HOUR + HOUR // 2)
        names = {"demo": demo, "coder": scribe.deployment("coder"), "bot": scribe.deployment("bot")}
        with closing(Store(scribe.home.store)) as store, store.write() as session:
            book = Book(session, scribe.now - 6 * DAY_US)
            top_up(book, 60 * MICRO + 5_000, "ada")
            for n, (name, amount) in enumerate(
                [("demo", 600), ("coder", 350), ("demo", 420), ("bot", 90), ("demo", 8)]
            ):
                book.now = scribe.now - (4 - n) * DAY_US
                us = amount * MICRO // 100 * HOUR // 600_000
                moves = charge_moves(book, names[name], amount * MICRO // 100)
                draft = Draft(
                    "charge", f"c{n}", moves, "server", names[name], attempt if name == "demo" else None,
                    quantity=us, unit="us", price=600_000, starts=book.now - us, ends=book.now, estimated=name == "bot",
                )  # fmt: skip
                book.post(draft)

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.looks(f"ledger-{size[0]}")

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


def test_a_flex_entry_leads_to_the_requests_that_it_is_for(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        demo = scribe.deployment("demo", {"price": Price(token_in=MICRO, token_out=MICRO, basis="token")})
        instance = scribe.instance(demo)
        scribe.requests(demo, instance, scribe.attempt(instance), [(3 * SECOND, 9), (2 * SECOND, 9)])
        with closing(Store(scribe.home.store)) as store, store.write() as session:
            meter.tick(session, instant(), {})

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("318 tokens", "-0.000318")
            await person.presses("enter")
            await person.sees("Entry 1", "2 requests", "r its requests")
            await person.presses("r")
            await person.sees("Requests of entry 1", "31 + 128", "demo-a")
            await person.presses("enter")
            await person.sees("● 200", "costs 0.000159")

        visit(scribe.home, scene)


def test_what_was_stopped_and_is_still_held_is_said(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        _, attempt = costly(scribe)
        with closing(Store(scribe.home.store)) as store, store.write() as session:
            row = session.get_one(Attempt, attempt)
            row.stop_at = scribe.now - 5 * MINUTE
            session.add(row)

        async def scene(person: Person) -> None:
            await person.presses("5")
            await person.sees("demo: stopped 5 m", "still held by process at 0.60/h", "stoker show demo")

        visit(scribe.home, scene)


@pytest.mark.parametrize(
    ("left", "shown", "size"),
    [
        (10 * MICRO, r"0\.60/h .*1[56] h .*left", LARGE),
        (MICRO // 2, r" 4\d m .*left", SMALL),
        (MICRO // 10, r" \d m .*left", SMALL),
        (0, r"0\.60/h .*nothing left", LARGE),
    ],
)
def test_every_screen_says_what_is_left_where_money_is_in_use(
    tmp_path: Path, left: int, shown: str, size: tuple[int, int]
) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        costly(scribe)
        with closing(Store(scribe.home.store)) as store, store.write() as session:
            top_up(Book(session, scribe.now), max(1, left), "ada")

        async def scene(person: Person) -> None:
            await person.sees("demo")
            for _, name in TABS:
                person.app.go(name, "demo")
                await person.waits(lambda: re.search(shown, person.screen.partition("\n")[0]))

        visit(scribe.home, scene, size)


def test_the_fleet_says_what_each_costs_where_something_has_a_price(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()
        dear = scribe.deployment("dear", {"price": Price(hour=1_200_000)})
        scribe.attempt(scribe.instance(dear, ready_at=scribe.now - HOUR))
        scribe.deployment("free")

        async def scene(person: Person) -> None:
            await person.sees("USD/H", "1.20")

        visit(scribe.home, scene)


@pytest.mark.parametrize("size", SIZES)
def test_what_stopped_for_want_of_money_says_so(tmp_path: Path, size: tuple[int, int]) -> None:
    reasons = {
        "balance": "an hour costs 0.60, 0.58 is missing",
        "cap-day": "today has cost 10.00, the cap for a day is 10.00",
        "cap-launch": "it has cost 10.00, the cap for one launch is 10.00",
        "cap-month": "this month has cost 10.00, the cap for it is 10.00",
        "cap-start": "it has cost 10.00 before its first token, the cap for that is 10.00",
    }
    with Scribe(tmp_path) as scribe:
        scribe.up()
        for name, reason in reasons.items():
            scribe.instance(
                scribe.deployment(name, {"price": Price(hour=600_000)}),
                state="stopped",
                phase="by_billing",
                since=scribe.now - 4 * DAY_US - HOUR // 2,
                failure_code="BILLING_BLOCKED",
                failure_evidence=reason,
                failed_at=scribe.now - 4 * DAY_US - HOUR // 2,
            )

        async def scene(person: Person) -> None:
            await person.sees("cap-start")
            for n, reason in enumerate(reasons.values()):
                await person.presses(*["j"] * min(n, 1))
                await person.sees(reason)
            await person.looks(f"blocked-{size[0]}")

        visit(scribe.home, scene, size)


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
