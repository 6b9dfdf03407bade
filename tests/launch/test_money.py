"""What a launch is told of money and plan before it starts anything."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.domain.money import MICRO, Price
from app.domain.plans import PLANS, Mode
from app.launch.checks import Check
from app.launch.money import check_balance, check_plan
from app.render.cells import plain
from app.render.checks import check_lines
from app.settings import Home, load_settings
from app.store.ledger import Book, Draft, charge_moves, top_up
from app.store.migrate import migrate
from app.store.wishes import now_us
from app.store.write import Store
from tests.store.money import deploy
from tests.widgets.support import golden

HOURLY = Price(hour=600_000)
LIMITS = (("flex", 1), ("active", 1), ("active", 8), ("flex", 7), ("flex", 8), ("active", 32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    migrate(tmp_path / "stoker.db", tmp_path / "backups")
    with closing(Store(tmp_path / "stoker.db")) as store:
        yield store


def said(check: Check) -> str:
    return "\n".join(plain(line) for line in check_lines([check]))


def test_each_plan_says_which_limit_it_is(store: Store, tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    deploy(store, "other")
    lines = []
    for name in (*PLANS, "lab"):
        (tmp_path / "config.toml").write_text(f'[billing]\nplan = "{name}"\n[plans.lab]\nreplicas = 2\nflex = false\n')
        for mode, replicas in LIMITS:
            given: Mode = "flex" if mode == "flex" else "active"
            check = check_plan(home, load_settings(home), "chat", replicas, given)
            lines.append(f"{name}, {mode}, {replicas} beside 1 of another: {said(check)}")
    golden("plans", "\n".join([*lines, ""]), Path(__file__).parent)


def test_each_price_and_cap_says_what_is_missing(store: Store, tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path)
    deployment = deploy(store, "chat")
    lines = []

    def ask(what: str, price: Price, config: str = "") -> None:
        (tmp_path / "config.toml").write_text(f"[billing]\n{config}\n")
        lines.append(f"{what}: {said(check_balance(home, load_settings(home), price, 2))}")

    ask("nothing in, free", Price())
    ask("nothing in, by the hour", HOURLY)
    ask("nothing in, by token", Price(token_out=1, basis="token"))
    with store.write() as session:
        top_up(Book(session, now_us()), 25 * MICRO, "ada")
    ask("25 in, by the hour", HOURLY)
    ask("25 in, by the hour of use", Price(hour=600_000, basis="use"))
    ask("25 in, by token", Price(token_out=1, basis="token"))
    ask("25 in, dear", Price(hour=12 * MICRO + 500_001))
    with store.write() as session:
        book = Book(session, now_us())
        book.post(Draft("charge", "c", charge_moves(book, deployment, 5 * MICRO), "server", deployment))
    ask("5 spent, cap of the day", HOURLY, 'cap_day = "5"')
    ask("5 spent, cap of the month", HOURLY, 'cap_month = "4.50"')
    ask("5 spent, cap not reached", HOURLY, 'cap_month = "5.01"')
    golden("balance", "\n".join([*lines, ""]), Path(__file__).parent)
