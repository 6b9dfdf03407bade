"""Jobs outlast a store that is busy, are carried out once, and say how they ended."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.control.clock import Clock
from app.control.jobs import Jobs
from app.domain.failures import StokerError
from app.launch.environment import keep_values
from app.launch.hub import Access, listing
from app.launch.pinned import model_at
from app.settings import Home
from app.store import jobs as store_jobs
from app.store.sqlite import connect_reader
from app.store.write import Store
from tests.control.support import launch, new_home, see, wish
from tests.launch.model_hub import serving


class Writer:
    """Writes as the server does, except that the first `busy` writes meet a store that stays locked."""

    def __init__(self, home: Home, busy: int) -> None:
        self._store = Store(home.store)
        self._busy = busy

    async def write(self, change: Callable[..., None], *args: Any, **values: Any) -> None:
        self._busy -= 1
        if self._busy >= 0:
            raise StokerError("STORE_BUSY")
        with self._store.write() as session:
            change(session, *args, **values)


def all_rows(home: Home) -> list[sqlite3.Row]:
    with closing(connect_reader(home.store)) as connection:
        return connection.execute("SELECT * FROM jobs ORDER BY id").fetchall()


def open_rows(home: Home) -> list[sqlite3.Row]:
    return [row for row in all_rows(home) if row["state"] in ("queued", "running")]


@pytest.mark.parametrize("busy", range(3))
def test_a_busy_store_delays_a_job_and_loses_none(tmp_path: Path, busy: int) -> None:
    home = new_home(tmp_path)
    wish(home, store_jobs.submit, "shutdown", {}, 60_000_000)

    async def story() -> None:
        jobs = Jobs(home, Clock(), 1, Writer(home, busy).write, lambda: None)
        stale = open_rows(home)
        async with asyncio.timeout(30):
            while found := open_rows(home):
                jobs.see(found, 0)
                await asyncio.sleep(0)
        jobs.see(stale, 1)
        assert not jobs.shutting_down, "a job that has ended is not taken up again from rows that were read before"
        assert jobs.shut_down
        await jobs.close()

    asyncio.run(story())
    (row,) = all_rows(home)
    assert (row["state"], row["error"]) == ("done", None)


def test_weights_that_nobody_needs_any_more_are_not_fetched_further(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    with serving({"org/m": {"m.gguf": bytes(3_000_000)}}) as hub:
        access = Access(tmp_path / "hf" / "hub", hub.url)
        model = model_at(listing("org/m", None, access), None, ())
        variables = keep_values(home, {"HF_ENDPOINT": hub.url})
        launch(home, model=model, env_names=("HF_ENDPOINT",), env_file=variables)
        (variant_id,) = {found.variant_id for found in (see(home),) if found is not None}
        wish(home, store_jobs.submit, "fetch", {"variant_id": variant_id}, 60_000_000)
        hub.hold = 1_000_000

        async def story() -> None:
            jobs = Jobs(home, Clock(), 1, Writer(home, 0).write, lambda: None)
            needed = {variant_id}
            async with asyncio.timeout(60):
                while found := open_rows(home):
                    jobs.see(found, 0, needed)
                    if json.loads(found[0]["progress"]).get("done", 0) > 0:
                        needed.clear()
                    await asyncio.sleep(0.01)
            await jobs.close()

        asyncio.run(story())
    (row,) = all_rows(home)
    progress = json.loads(row["progress"])
    assert (row["state"], progress["total"]) == ("cancelled", 3_000_000)
    assert 0 < progress["done"] <= 1_000_000


def test_a_job_that_is_cancelled_ends_so(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    wish(home, store_jobs.submit, "shutdown", {}, 60_000_000)

    async def story() -> None:
        jobs = Jobs(home, Clock(), 1, Writer(home, 0).write, lambda: None)
        cancelled = False
        async with asyncio.timeout(30):
            while found := open_rows(home):
                jobs.see(found, 2)
                assert jobs.shutting_down
                if not cancelled and json.loads(found[0]["progress"]) == {"running": 2}:
                    wish(home, store_jobs.cancel, found[0]["id"])
                    cancelled = True
                await asyncio.sleep(0.01)
        assert not jobs.shut_down
        await jobs.close()

    asyncio.run(story())
    (row,) = all_rows(home)
    assert row["state"] == "cancelled"
