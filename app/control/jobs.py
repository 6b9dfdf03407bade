"""Working off jobs: claimed under the lease, with progress, cancel and deadline; unfinished ones are taken up again."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from sqlmodel import Session

from app.control.clock import Clock
from app.domain.failures import StokerError
from app.launch.fetch import fetch
from app.settings import Home
from app.store import tables

PROGRESS_EVERY_S = 0.5
Writer = Callable[..., Awaitable[None]]

log = logging.getLogger(__name__)


class Jobs:
    """The jobs of this server. `shutting_down` while a `shutdown` job is open."""

    def __init__(self, home: Home, clock: Clock, epoch: int, write: Writer, done: Callable[[], None]) -> None:
        self._home = home
        self._clock = clock
        self._epoch = epoch
        self._write = write
        self._done = done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, threading.Event] = {}
        self._up = 0
        self.shutting_down = False

    def see(self, rows: list[sqlite3.Row], instances_up: int) -> None:
        """Take up what is open: `rows` are the queued and running jobs, `instances_up` how many instances still run."""
        self._up = instances_up
        self.shutting_down = any(row["kind"] == "shutdown" for row in rows)
        for row in rows:
            if row["id"] not in self._tasks:
                self._cancels[row["id"]] = threading.Event()
                self._tasks[row["id"]] = asyncio.create_task(self._work(row))
            if row["cancel"] or row["deadline_at"] < self._clock.now():
                self._cancels[row["id"]].set()

    async def close(self) -> None:
        """Leave what is under way; the next server takes it up."""
        for job_id, task in self._tasks.items():
            self._cancels[job_id].set()
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _work(self, row: sqlite3.Row) -> None:
        job_id, cancelled = row["id"], self._cancels[row["id"]]
        await self._write(_update, job_id, state="running", epoch=self._epoch)
        try:
            result = await (self._shut_down(job_id, cancelled) if row["kind"] == "shutdown" else self._fetch(job_id))
        except StokerError as error:
            failure = {"code": error.code, "message": error.message, "remedy": error.remedy}
            await self._end(job_id, "failed", error=json.dumps(failure))
        else:
            state = "cancelled" if result is None else "done"
            await self._end(job_id, state, result=None if result is None else json.dumps(result))
        finally:
            self._tasks.pop(job_id, None)
            self._done()

    async def _shut_down(self, job_id: str, cancelled: threading.Event) -> dict[str, Any] | None:
        last = None
        while self._up:
            if cancelled.is_set():
                return None
            if last != self._up:
                last = self._up
                await self._write(_update, job_id, progress=json.dumps({"running": last}))
            await asyncio.sleep(PROGRESS_EVERY_S)
        return {}

    async def _fetch(self, job_id: str) -> dict[str, Any] | None:
        cancelled, progress = self._cancels[job_id], {"done": 0, "total": 0}

        def report(done: int, total: int) -> None:
            progress.update(done=done, total=total)

        work = asyncio.create_task(asyncio.to_thread(fetch, self._home, report, cancelled.is_set))
        while not work.done():
            await asyncio.wait({work}, timeout=PROGRESS_EVERY_S)
            await self._write(_update, job_id, progress=json.dumps(progress))
        path = await work
        return None if cancelled.is_set() else {"path": str(path)}

    async def _end(self, job_id: str, state: str, **values: Any) -> None:
        await self._write(_update, job_id, state=state, ended_at=self._clock.now(), **values)


def _update(session: Session, job_id: str, **values: Any) -> None:
    job = session.get_one(tables.Job, job_id)
    for name, value in values.items():
        setattr(job, name, value)
    session.add(job)
