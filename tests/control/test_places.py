"""Smart placement by a real server on simulated hosts: the cheapest first, the next one when a host fails it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from app.domain.facts import Deployment
from app.domain.money import Price
from app.domain.offers import GIB, Wanted
from app.domain.placement import Tried
from app.settings import Home
from app.store import ledger, read, wishes
from app.store.placements import placements
from tests.control.answering import answering
from tests.control.servers import server, start, without_gateway
from tests.control.support import launch, new_home, see, status, wait_for, wish

WANTED = Wanted(gpu="4090", gpus=1, need=14 * GIB, backends=("simulated",))


@pytest.fixture
def url() -> Iterator[str]:
    with answering() as url:
        yield url


def hosts(home: Home, url: str, **faults: str) -> None:
    """Hosts `a`, `b`, … with one GPU each, dearer from one to the next, with these faults of their starts."""
    tables = [
        f'[simulated.{name}]\ngpu = "RTX 4090"\ngpus = 1\nprice = "0.{number}0"\nendpoint = "{url}"\nfaults = {fault}\n'
        for number, (name, fault) in enumerate(faults.items(), 3)
    ]
    (home.config / "config.toml").write_text("".join(tables))


def tried(home: Home) -> list[Tried]:
    with read.reading(home.store) as connection:
        return placements(connection, read.deployment(connection, "demo").id)


def offers(home: Home) -> list[str]:
    """The hosts of all attempts, oldest first; a dash for one that found no place."""
    return [(each.placement.host or "") if each.placement else "-" for each in tried(home)]


def demo(home: Home) -> Deployment:
    found = see(home)
    assert found is not None
    return found


def begin(home: Home, replicas: int = 1) -> None:
    """Launch it, with money for a while."""
    wish(home, put_in, 50_000_000)
    launch(home, replicas=replicas, smart=WANTED, price=Price(hour=300_000))


def put_in(session: Session, amount: int) -> None:
    ledger.top_up(ledger.Book(session, 1), amount, "test")


def billed(home: Home) -> list[int]:
    """The prices of an hour that are being billed."""
    with read.reading(home.store) as connection:
        return [row["price"] for row in connection.execute("SELECT price FROM meters WHERE closed = 0")]


def clear(home: Home) -> None:
    wish(home, wishes.remove, "demo", "test")
    wait_for(lambda: status(home) == "GONE", "the removal")


def test_a_host_without_capacity_is_left_for_the_next_one_and_goes_last(tmp_path: Path, url: str) -> None:
    home = new_home(tmp_path)
    hosts(home, url, a='["timeout 0.1", "none"]', b='["none"]', c='["none"]')
    begin(home)
    with server(home, without_gateway):
        wait_for(lambda: status(home) == "DEPLOYED", "the second offer")
        assert offers(home) == ["a", "b"]
        assert billed(home) == [400_000], "at what the place costs"
        assert demo(home).instances[0].backend == "simulated@b"
        first, second = tried(home)
        assert (first.code, first.evidence) == ("PROVIDER_TIMEOUT", "no capacity within 0.1 s")
        assert first.delay_us is not None
        assert second.placement is not None and second.placement.price == 400_000
        wish(home, wishes.stop, "demo", "test")
        wait_for(lambda: status(home) == "STOPPED", "the stop")
        wish(home, wishes.start, "demo", "test")
        wait_for(lambda: status(home) == "DEPLOYED", "the start")
        assert offers(home) == ["a", "b", "b"], "what failed last goes last"
        clear(home)


def test_when_every_host_has_failed_the_first_is_tried_again_later(tmp_path: Path, url: str) -> None:
    home = new_home(tmp_path)
    hosts(home, url, a='["capacity"]', b='["capacity"]', c='["capacity"]')
    begin(home)
    with server(home, without_gateway):
        wait_for(lambda: len(tried(home)) >= 3 and tried(home)[2].delay_us is not None, "three attempts")
        assert offers(home)[:3] == ["a", "b", "c"]
        assert (tried(home)[2].delay_us or 0) >= 20_000_000, "the third in a row waits"
        clear(home)


def test_a_failure_that_is_not_the_host_s_stays_where_it_is(tmp_path: Path, url: str) -> None:
    home = new_home(tmp_path)
    hosts(home, url, a='["oom"]', b='["none"]')
    begin(home)
    with server(home, without_gateway):
        wait_for(lambda: status(home) == "FAILED", "the failure")
        assert offers(home) == ["a"]
        assert demo(home).instances[0].failure_code == "OOM_KILLED"
        clear(home)


def test_each_replica_has_its_own_gpu_and_one_without_says_who_has_it(tmp_path: Path, url: str) -> None:
    home = new_home(tmp_path)
    hosts(home, url, a='["none"]', b='["none"]')
    begin(home, replicas=3)
    with server(home, without_gateway):
        wait_for(lambda: any(i.failure_count > 1 for i in demo(home).instances), "the third, twice")
        wait_for(lambda: sum(i.ready_at is not None for i in demo(home).instances) == 2, "two of them")
        served = {i.backend for i in demo(home).instances if i.ready_at is not None}
        assert served == {"simulated@a", "simulated@b"}
        (left,) = [i for i in demo(home).instances if i.failure_code]
        assert left.failure_code == "SMART_NO_MATCH"
        assert "14.0 GiB a GPU removes 2. What is missing is held by demo." in (left.failure_evidence or "")
        assert left.retry_at is not None
        clear(home)


def test_a_server_that_is_killed_while_a_host_is_waited_for_leaves_the_next_one_to_go_on(
    tmp_path: Path, url: str
) -> None:
    home = new_home(tmp_path)
    hosts(home, url, a='["timeout 3"]', b='["none"]')
    begin(home)
    first = start(home, without_gateway)
    try:
        wait_for(lambda: len(tried(home)) == 1, "the first attempt")
    finally:
        first.kill()
        first.join()
    with server(home, without_gateway):
        wait_for(lambda: status(home) == "DEPLOYED", "the second offer")
        assert offers(home) == ["a", "b"]
        clear(home)
