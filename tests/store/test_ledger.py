"""The ledger through its public side: what is booked once, what is refused, and what a check finds."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.domain.money import DAY_US, MICRO
from app.store import bill
from app.store.ledger import AVAILABLE, Book, Draft, charge_moves, held, hold, release, spent, top_up
from app.store.sqlite import connect_reader
from app.store.verify import Verdict, verify
from app.store.write import Store
from tests.store.money import NOW, book, deploy

ROOT = Path(__file__).parents[2]


def charge(ledger: Book, deployment: str, amount: int, key: str, starts: int = 1) -> bool:
    moves = charge_moves(ledger, deployment, amount)
    return ledger.post(Draft("charge", key, moves, "test", deployment, starts=starts, ends=starts + 1))


def balances(store: Store) -> dict[str, int]:
    with closing(connect_reader(store.path)) as connection:
        return {row["id"]: row["balance"] for row in connection.execute("SELECT * FROM accounts")}


def test_a_top_up_is_booked_once_under_its_id(store: Store) -> None:
    with book(store) as ledger:
        assert top_up(ledger, 5 * MICRO, "ada", "a")
    with book(store) as ledger:
        assert not top_up(ledger, 5 * MICRO, "ada", "a")
    with pytest.raises(StokerError, match=r"ID_REUSED: `a` stands for 5\.00 already"), book(store) as ledger:
        top_up(ledger, 6 * MICRO, "ada", "a")
    assert balances(store) == {"funding": -5 * MICRO, AVAILABLE: 5 * MICRO}


@pytest.mark.parametrize("amount", [0, -1, 10**16])
def test_nothing_and_too_much_are_no_top_up(store: Store, amount: int) -> None:
    with pytest.raises(StokerError, match="CONFIG_INVALID"), book(store) as ledger:
        top_up(ledger, amount, "ada")


def test_what_is_held_is_used_up_first_and_the_rest_given_back(store: Store) -> None:
    demo = deploy(store, "demo")
    with book(store) as ledger:
        top_up(ledger, 100, "ada")
        assert hold(ledger, demo, 60, "a", "ada") == 0
        assert hold(ledger, demo, 60, "b", "ada") == 0  # it is held already
        assert hold(ledger, demo, 101, "c", "ada") == 1
        charge(ledger, demo, 50, "x")
    assert balances(store)[AVAILABLE] == 40
    with book(store) as ledger:
        charge(ledger, demo, 30, "y", starts=2)
        assert (ledger.balance(held(demo)), ledger.balance(AVAILABLE), ledger.balance(spent(demo))) == (0, 20, 80)
        hold(ledger, demo, 15, "d", "ada")
    with book(store) as ledger:
        release(ledger, demo, "server")
        release(ledger, demo, "server")
    assert balances(store)[AVAILABLE] == 20
    assert verify(store.path) == Verdict(True, 6)


def test_a_charge_may_take_the_balance_below_zero_but_never_a_hold(store: Store) -> None:
    demo = deploy(store, "demo")
    with book(store) as ledger:
        top_up(ledger, 10, "ada")
        hold(ledger, demo, 10, "a", "ada")
        charge(ledger, demo, 25, "x")
        assert ledger.balance(held(demo)) == 0
        assert ledger.balance(AVAILABLE) == -15
        assert hold(ledger, demo, 1, "b", "ada") == 16


def test_postings_that_do_not_balance_are_a_mistake_of_ours(store: Store) -> None:
    with pytest.raises(ValueError, match="do not balance"), book(store) as ledger:
        ledger.post(Draft("adjustment", "x", {AVAILABLE: 5, "funding": -4}, "test"))


def test_a_check_names_the_first_entry_that_was_changed(store: Store) -> None:
    demo = deploy(store, "demo")
    for n in range(5):
        with book(store) as ledger:
            top_up(ledger, 100 + n, "ada", f"t{n}")
            charge(ledger, demo, 7, f"c{n}", starts=n + 1)
    assert verify(store.path) == Verdict(True, 10)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as raw:
        raw.execute("DROP TRIGGER entries_no_update")
        raw.execute("UPDATE entries SET note = 'nothing' WHERE id = 4")
    assert verify(store.path) == Verdict(False, 3, 4, "it is not what was written")


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("UPDATE accounts SET balance = balance + 1 WHERE id = 'available'", "the balance of `available`"),
        ("UPDATE spending SET amount = amount - 1", "what was spent by day"),
    ],
)
def test_a_check_finds_sums_that_were_changed(store: Store, tampering: str, reason: str) -> None:
    demo = deploy(store, "demo")
    with book(store) as ledger:
        top_up(ledger, 100, "ada")
        charge(ledger, demo, 7, "c")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as raw:
        raw.execute(tampering)
    found = verify(store.path)
    assert not found.ok
    assert found.first_bad is None
    assert reason in found.reason


def test_spending_is_kept_by_day_and_entries_are_found(store: Store) -> None:
    demo, other = deploy(store, "demo"), deploy(store, "other")
    with book(store) as ledger:
        top_up(ledger, 1_000, "ada")
    for day, deployment, amount in ((0, demo, 5), (0, other, 7), (1, demo, 11), (1, demo, 13)):
        with book(store, NOW + day * DAY_US) as ledger:
            charge(ledger, deployment, amount, f"{day}-{amount}", starts=amount)
    first = NOW // DAY_US
    with closing(connect_reader(store.path)) as connection:
        found = [(row["day"] - first, row["deployment"], row["amount"]) for row in bill.spending(connection, first)]
        assert found == [(0, "other", 7), (0, "demo", 5), (1, "demo", 24)]
        assert bill.spent_since(connection, first + 1) == 24
        assert list(bill.matching(connection, bill.Filter(deployment="demo"))) == [5, 4, 2]
        assert list(bill.matching(connection, bill.Filter(kind="topup"))) == [1]
        assert list(bill.matching(connection, bill.Filter(since=NOW + DAY_US), limit=1)) == [5]
        rows = list(bill.entries(connection, [4, 1]))
        assert [(row["deployment"], row["amount"], row["balance"]) for row in rows] == [
            ("demo", -11, 977),
            (None, 1_000, 1_000),
        ]


def test_eight_processes_hold_what_there_is_and_no_more(store: Store) -> None:
    with book(store) as ledger:
        top_up(ledger, 10 * MICRO, "ada")
    command = [sys.executable, "-m", "tests.store.money", str(store.path), "100", str(MICRO)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(8)]
    held_by = [int(child.communicate(timeout=280)[0]) for child in children]
    assert sum(held_by) == 10, held_by
    assert balances(store)[AVAILABLE] == 0
    assert verify(store.path) == Verdict(True, 11)
