"""What a person may wish, and the rows that say so."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.domain.facts import Deployment
from app.domain.failures import StokerError
from app.domain.money import MICRO, Price
from app.store import read, wishes
from app.store.ledger import Book, held, top_up
from app.store.write import Store
from tests.store.spec import spec

WHO = "ada@box"


@pytest.fixture
def demo(store: Store) -> None:
    with store.write() as session:
        wishes.launch(session, "demo", spec(), 2, WHO)


def look(path: Path, name: str = "demo") -> Deployment:
    with read.reading(path) as connection:
        return read.deployment(connection, name)


def timeline(path: Path) -> list[tuple[Any, ...]]:
    with read.reading(path) as connection:
        rows = read.events(connection, read.deployment(connection, "demo").id)
    return [(r["subject"], r["from_state"], r["to_state"], r["cause"], r["actor"], r["detail"]) for r in rows]


def refused(store: Store, code: str, wish: Callable[..., Any], *args: Any, **options: Any) -> StokerError:
    with pytest.raises(StokerError) as caught, store.write() as session:
        wish(session, *args, **options)
    assert caught.value.code == code
    return caught.value


@pytest.mark.usefixtures("demo")
class TestLaunch:
    def test_it_is_recorded(self, path: Path) -> None:
        found = look(path)
        assert (found.wish, found.replicas, found.status, found.instances) == ("running", 2, "REQUESTED", ())
        assert (found.stop_now, found.forget, found.restart_at) == (False, False, None)
        assert timeline(path) == [("demo", None, "REQUESTED", "launched", WHO, "")]
        with read.reading(path) as connection:
            assert [(n, s) for _, n, s, _ in read.variants(connection, found.id)] == [(1, spec())]
            assert read.specs(connection, [found.variant_id]) == {found.variant_id: spec()}

    def test_a_name_is_taken_once(self, store: Store, path: Path) -> None:
        refused(store, "NAME_TAKEN", wishes.launch, "demo", spec(), 1, WHO)
        assert len(timeline(path)) == 1

    def test_names_are_separate(self, store: Store, path: Path) -> None:
        with store.write() as session:
            wishes.launch(session, "other", spec(context=1), 1, WHO)
        with read.reading(path) as connection:
            assert [d.name for d in read.deployments(connection)] == ["demo", "other"]

    def test_what_the_schema_refuses_leaves_nothing(self, store: Store, path: Path) -> None:
        with pytest.raises(sqlite3.IntegrityError), store.write() as session:
            wishes.launch(session, "none", spec(), 0, WHO)
        with read.reading(path) as connection:
            assert [d.name for d in read.deployments(connection)] == ["demo"]


@pytest.mark.usefixtures("demo")
class TestWish:
    def test_stop_and_start(self, store: Store, path: Path) -> None:
        asked = look(path).wish_at
        with store.write() as session:
            wishes.stop(session, "demo", WHO, immediately=True)
        stopped = look(path)
        assert (stopped.wish, stopped.stop_now) == ("stopped", True)
        assert stopped.wish_at >= asked
        with store.write() as session:
            wishes.start(session, "demo", WHO)
        assert (look(path).wish, look(path).stop_now) == ("running", False)
        with store.write() as session:
            wishes.stop(session, "demo", WHO)
        assert (look(path).wish, look(path).stop_now) == ("stopped", False)
        assert [row[3] for row in timeline(path)] == ["launched", "stop --now", "start", "stop"]

    def test_restart(self, store: Store, path: Path) -> None:
        with store.write() as session:
            wishes.stop(session, "demo", WHO)
            wishes.restart(session, "demo", WHO)
        found = look(path)
        assert found.wish == "running"
        assert found.restart_at == found.wish_at

    def test_what_was_removed_stays_removed(self, store: Store, path: Path) -> None:
        with store.write() as session:
            wishes.remove(session, "demo", WHO)
        for wish in (wishes.start, wishes.stop, wishes.restart):
            assert "being removed" in refused(store, "NOT_FOUND", wish, "demo", WHO).message
        refused(store, "NOT_FOUND", wishes.change, "demo", spec(context=1), 1, WHO)
        refused(store, "NOT_FOUND", wishes.rollback, "demo", 1, WHO)
        refused(store, "NAME_TAKEN", wishes.launch, "demo", spec(), 1, WHO)
        assert (look(path).wish, look(path).forget) == ("gone", False)
        with store.write() as session:
            wishes.remove(session, "demo", WHO, forget=True)
        assert (look(path).wish, look(path).forget) == ("gone", True)

    @pytest.mark.parametrize("wish", [wishes.start, wishes.stop, wishes.restart, wishes.remove, wishes.find])
    def test_of_what_is_not_there(self, store: Store, wish: Callable[..., Any]) -> None:
        refused(store, "NOT_FOUND", wish, "dmeo", *([] if wish is wishes.find else [WHO]))


@pytest.mark.usefixtures("demo")
class TestChange:
    def test_a_new_configuration_is_a_new_variant(self, store: Store, path: Path) -> None:
        with store.write() as session:
            assert wishes.change(session, "demo", spec(context=8192), 2, WHO) == 2
        with store.write() as session:
            assert wishes.change(session, "demo", spec(context=9000), 2, WHO) == 3
        with read.reading(path) as connection:
            found = read.deployment(connection, "demo")
            kept = read.variants(connection, found.id)
        assert [(number, s.context) for _, number, s, _ in kept] == [(1, 4096), (2, 8192), (3, 9000)]
        assert found.variant_id == kept[2][0]
        assert [row[5] for row in timeline(path)] == ["", "variant 1 → 2", "variant 2 → 3"]

    def test_the_same_configuration_is_the_same_variant(self, store: Store, path: Path) -> None:
        with store.write() as session:
            assert wishes.change(session, "demo", spec(), 5, WHO) == 1
        assert look(path).replicas == 5
        assert timeline(path)[-1][5] == "replicas 2 → 5"

    def test_rollback_and_on_from_there(self, store: Store, path: Path) -> None:
        first = look(path).variant_id
        with store.write() as session:
            wishes.change(session, "demo", spec(context=8192), 2, WHO)
        with store.write() as session:
            wishes.rollback(session, "demo", 1, WHO)
        assert look(path).variant_id == first
        with store.write() as session:
            assert wishes.change(session, "demo", spec(context=1), 2, WHO) == 3

    def test_rollback_to_what_never_was(self, store: Store) -> None:
        assert "no variant 7" in refused(store, "NOT_FOUND", wishes.rollback, "demo", 7, WHO).message

    def test_any_text_survives(self, store: Store, path: Path) -> None:
        """A path of any bytes, a flag of any length: what is launched is what was asked for."""
        odd = spec(flags={"chat-template": "\x1b[31m\x00\udcff" + "x" * 100_000, "é": True})
        with store.write() as session:
            wishes.change(session, "demo", odd, 2, WHO)
        with read.reading(path) as connection:
            found = read.deployment(connection, "demo")
            assert read.specs(connection, [found.variant_id]) == {found.variant_id: odd}


def test_what_starts_holds_an_hour_or_is_refused_with_what_is_missing(store: Store) -> None:
    priced = spec(price=Price(hour=3 * MICRO))
    with pytest.raises(StokerError, match=r"BELOW_MINIMUM: An hour costs 6\.00, 6\.00 is"), store.write() as session:
        wishes.launch(session, "demo", priced, 2, "ada")
    with store.write() as session:
        top_up(Book(session, 1), 10 * MICRO, "ada")
    with store.write() as session:
        demo = wishes.launch(session, "demo", priced, 2, "ada")
    with store.write() as session:
        wishes.stop(session, "demo", "ada")
        wishes.start(session, "demo", "ada")
        assert Book(session, 1).balance(held(demo.id)) == 6 * MICRO
    with pytest.raises(StokerError, match=r"BELOW_MINIMUM: An hour costs 6\.00, 2\.00 is"), store.write() as session:
        wishes.launch(session, "other", priced, 2, "ada")
    with pytest.raises(StokerError, match=r"BLOCKED: An hour costs 15\.00, 5\.00 is missing"), store.write() as session:
        wishes.change(session, "demo", priced, 5, "ada")
    with store.write() as session:
        wishes.launch(session, "free", spec(), 100, "ada")
