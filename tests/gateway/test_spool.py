"""The spool and the thread that empties it, without a gateway around them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.gateway.drainer import Drainer, Outbox, spool_files
from app.gateway.request import Request
from app.gateway.spool import Spool
from tests.gateway.full_disk import REQUESTS
from tests.gateway.process import wait_for
from tests.gateway.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path).create()


@contextmanager
def draining(store: Store, spool: Spool, leftovers: list[Path] | None = None) -> Iterator[Outbox]:
    """A drainer at work; what there is at the end is written before the block is left."""
    outbox = Outbox()
    drainer = Drainer(store.home.store, spool, leftovers or [], outbox)
    drainer.start()
    try:
        yield outbox
    finally:
        drainer.stop()
        spool.close()


def begin(spool: Spool, name: str) -> Request:
    """A request on its way to an engine."""
    request = Request("POST", "/v1/completions", [(b"x-request-id", name.encode())], "127.0.0.1")
    request.attempt_id = "attempt"
    spool.start(request.id, request.start_line(1))
    return request


def finish(spool: Spool, request: Request) -> None:
    """The same, answered."""
    request.status, request.tokens_out = 200, 5
    spool.end(request.id, request.end_line())
    spool.flush()


def test_full_files_are_followed_by_new_ones_and_removed(store: Store) -> None:
    async def main() -> None:
        spool = Spool(store.home.spool, file_limit=2_000)
        long = begin(spool, "long")
        with draining(store, spool):
            for number in range(50):
                finish(spool, begin(spool, f"r{number}"))
            await asyncio.to_thread(wait_for, lambda: len(store.requests()) == 50)
            await asyncio.to_thread(wait_for, lambda: spool_files(store.home.spool) == [spool.path])
            # The start of what is still open has moved along: a crash now would not lose it.
            assert long.id in spool.path.read_text()
            finish(spool, long)

    asyncio.run(main())
    assert len(store.requests()) == 51
    assert spool_files(store.home.spool) == []


def test_what_ends_after_the_last_look_is_left_to_the_next_gateway(store: Store) -> None:
    async def main() -> None:
        spool = Spool(store.home.spool)
        noted, late = begin(spool, "noted"), begin(spool, "late")
        noted.status = 200
        drainer = Drainer(store.home.store, spool, [], Outbox())
        drainer.start()
        spool.end(noted.id, noted.end_line())
        drainer.stop()  # no turn of the event loop since: the end is not written yet
        finish(spool, late)
        spool.close()

    asyncio.run(main())
    (left,) = spool_files(store.home.spool)
    asyncio.run(recover(store, left))
    assert [row["status"] for row in store.requests()] == [200, 200]


async def recover(store: Store, left: Path) -> None:
    """What the next gateway does first."""
    with draining(store, Spool(store.home.spool), [left]):
        pass


def test_an_end_in_a_later_file_counts_more_than_a_start_in_an_earlier(store: Store) -> None:
    async def crash() -> None:
        spool = Spool(store.home.spool, file_limit=500)
        request = begin(spool, "long")
        for number in range(5):
            finish(spool, begin(spool, f"r{number}"))
        finish(spool, request)
        spool.close()

    async def recover() -> None:
        leftovers = spool_files(store.home.spool)
        assert len(leftovers) > 2
        with draining(store, Spool(store.home.spool), leftovers):
            await asyncio.to_thread(wait_for, lambda: len(store.requests()) == 6)

    asyncio.run(crash())
    asyncio.run(recover())
    assert {row["estimated"] for row in store.requests()} == {0}


def test_a_full_disk_tears_no_line_apart_from_its_own(store: Store) -> None:
    subprocess.run([sys.executable, "-m", "tests.gateway.full_disk", str(store.home.spool)], check=True, timeout=60)

    async def recover() -> None:
        leftovers = spool_files(store.home.spool)
        with draining(store, Spool(store.home.spool), leftovers):
            await asyncio.to_thread(wait_for, lambda: len(store.requests()) == REQUESTS)

    asyncio.run(recover())
    assert {(row["status"], row["estimated"]) for row in store.requests()} == {(200, 0)}


def test_a_store_that_comes_later_gets_everything(tmp_path: Path) -> None:
    store = Store(tmp_path)

    async def main() -> None:
        spool = Spool(store.home.spool)
        with draining(store, spool) as outbox:
            finish(spool, begin(spool, "early"))
            outbox.refused.append(Request("GET", "/", [], "").end_line())
            store.create()
            await asyncio.to_thread(wait_for, lambda: len(store.requests()) == 1)

    asyncio.run(main())
    assert len(store.refused()) == 1


def test_the_latest_word_on_a_drain_stands(store: Store) -> None:
    instance = store.instance(store.deployment(), None)

    async def main() -> None:
        with draining(store, Spool(store.home.spool)) as outbox:
            outbox.drain(instance, 7)
            outbox.drain("unknown", 7)
            await asyncio.to_thread(wait_for, lambda: store.rows("SELECT * FROM drains"))
            outbox.drain(instance, 9)

    asyncio.run(main())
    assert store.rows("SELECT * FROM drains") == [{"instance_id": instance, "generation": 9}]
