"""Working off jobs: claimed under the lease, with progress, cancel and deadline; unfinished ones are taken up again."""

import asyncio
import contextlib
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
    """The jobs of this server. `shutting_down` while a `shutdown` job is open; `shut_down` once one was carried out."""

    def __init__(self, home: Home, clock: Clock, epoch: int, write: Writer, done: Callable[[], None]) -> None:
        self._home = home
        self._clock = clock
        self._epoch = epoch
        self._write = write
        self._done = done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, threading.Event] = {}
        self._ended: set[str] = set()
        self._up = 0
        self.shutting_down = self.shut_down = False

    def see(self, rows: list[sqlite3.Row], instances_up: int) -> None:
        """Take up what is open: `rows` are the queued and running jobs, `instances_up` how many instances still run."""
        self._up = instances_up
        self.shutting_down = any(row["kind"] == "shutdown" and row["id"] not in self._ended for row in rows)
        for row in rows:
            if row["id"] in self._ended:
                continue  # it was open when the rows were read
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
        job_id = row["id"]
        try:
            await self._write(_update, job_id, state="running", epoch=self._epoch)
            outcome = await self._carry_out(row)
            await self._write(_update, job_id, ended_at=self._clock.now(), **outcome)
            self._ended.add(job_id)
        except StokerError as error:
            log.error("job %s: %s: %s It is taken up again.", job_id, error.code, error.message)
        finally:
            self._tasks.pop(job_id, None)
            self._done()

    async def _carry_out(self, row: sqlite3.Row) -> dict[str, Any]:
        """Do what the job asks for; what its row is to say of it."""
        try:
            result = await (self._shut_down(row["id"]) if row["kind"] == "shutdown" else self._fetch(row["id"]))
        except StokerError as error:
            return _failed(error.code, error.message, error.remedy)
        except Exception as error:
            log.exception("job %s failed", row["id"])
            return _failed("RUNTIME_ERROR", f"The {row['kind']} failed: {error!r}.", "Look at `stoker logs @server`.")
        return {"state": "cancelled"} if result is None else {"state": "done", "result": json.dumps(result)}

    async def _shut_down(self, job_id: str) -> dict[str, Any] | None:
        last = None
        while self._up:
            if self._cancels[job_id].is_set():
                return None
            if last != self._up:
                last = self._up
                await self._report(job_id, {"running": last})
            await asyncio.sleep(PROGRESS_EVERY_S)
        self.shut_down = True
        return {}

    async def _fetch(self, job_id: str) -> dict[str, Any] | None:
        cancelled, progress = self._cancels[job_id], {"done": 0, "total": 0}

        def report(done: int, total: int) -> None:
            progress.update(done=done, total=total)

        work = asyncio.create_task(asyncio.to_thread(fetch, self._home, report, cancelled.is_set))
        while not work.done():
            await asyncio.wait({work}, timeout=PROGRESS_EVERY_S)
            await self._report(job_id, progress)
        path = await work
        return None if cancelled.is_set() else {"path": str(path)}

    async def _report(self, job_id: str, progress: dict[str, int]) -> None:
        with contextlib.suppress(StokerError):  # a store that is busy now will take the next report
            await self._write(_update, job_id, progress=json.dumps(progress))


def _failed(code: str, message: str, remedy: str) -> dict[str, Any]:
    return {"state": "failed", "error": json.dumps({"code": code, "message": message, "remedy": remedy})}


def _update(session: Session, job_id: str, **values: Any) -> None:
    job = session.get_one(tables.Job, job_id)
    for name, value in values.items():
        setattr(job, name, value)
    session.add(job)
