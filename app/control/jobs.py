"""Working off jobs: claimed under the lease, with progress, cancel and deadline; unfinished ones are taken up again."""

import asyncio
import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeVar

from sqlmodel import Session

from app.control.apply import mark_damaged
from app.control.clock import Clock
from app.control.fetching import Work, fetch_work, verify_work
from app.domain.failures import StokerError
from app.launch.environment import drop_values
from app.settings import Home
from app.store import tables

PROGRESS_EVERY_S = 0.5
RATE_OVER = 20
"""Reports that a rate is taken over: ten seconds."""
T = TypeVar("T")
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

    def see(self, rows: list[sqlite3.Row], instances_up: int, needed: AbstractSet[str] = frozenset()) -> None:
        """Take up what is open: `rows` are the queued and running jobs, `instances_up` how many instances still run.

        What is done for a variant that is not `needed` any more is given up.
        """
        self._up = instances_up
        self.shutting_down = any(row["kind"] == "shutdown" and row["id"] not in self._ended for row in rows)
        for row in rows:
            if row["id"] in self._ended:
                continue  # it was open when the rows were read
            if row["id"] not in self._tasks:
                self._cancels[row["id"]] = threading.Event()
                self._tasks[row["id"]] = asyncio.create_task(self._work(row))
            variant_id = json.loads(row["payload"]).get("variant_id")
            idle = variant_id is not None and variant_id not in needed
            if idle or row["cancel"] or row["deadline_at"] < self._clock.now():
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
            drop_values(self._home, json.loads(row["payload"]).get("env_file"))
        except StokerError as error:
            log.error("job %s: %s: %s It is taken up again.", job_id, error.code, error.message)
        finally:
            self._tasks.pop(job_id, None)
            self._done()

    async def _carry_out(self, row: sqlite3.Row) -> dict[str, Any]:
        """Do what the job asks for; what its row is to say of it."""
        try:
            result = await self._by_kind(row["kind"], row["id"], json.loads(row["payload"]))
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

    async def _by_kind(self, kind: str, job_id: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        if kind == "shutdown":
            return await self._shut_down(job_id)
        if kind == "fetch":
            return await self._carry(job_id, fetch_work(self._home, payload))
        result = await self._carry(job_id, verify_work(self._home, payload))
        if result is not None and result["wrong"]:
            await self._write(mark_damaged, payload["instance_id"], result["wrong"][0])
        return result

    async def _carry(self, job_id: str, work: Work) -> dict[str, Any] | None:
        """Do `work` in a thread of its own, which ends with the process. One that is cancelled is not waited for."""
        cancelled, pace, last = self._cancels[job_id], Pace(), None
        future = _in_thread(lambda: work(pace.note, cancelled.is_set))
        while not future.done() and not cancelled.is_set():
            await asyncio.wait({future}, timeout=PROGRESS_EVERY_S)
            if (progress := pace.progress()) != last:
                last = progress
                await self._report(job_id, progress)
        return None if cancelled.is_set() else await future

    async def _report(self, job_id: str, progress: dict[str, int]) -> None:
        with contextlib.suppress(StokerError):  # a store that is busy now will take the next report
            await self._write(_update, job_id, progress=json.dumps(progress))


class Pace:
    """How far a work is that counts bytes, and how fast it has been in the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=RATE_OVER)
        self._done = self._total = 0

    def note(self, done: int, total: int) -> None:
        """Take in a state; called from the thread that works."""
        self._done, self._total = done, total

    def progress(self) -> dict[str, int]:
        """What the job's row says; called every `PROGRESS_EVERY_S`. `rate` is bytes a second."""
        self._seen.append((time.monotonic(), self._done))
        (since, before), (now, done) = self._seen[0], self._seen[-1]
        rate = int(max(0, done - before) / (now - since)) if now > since else 0
        return {"done": done, "total": self._total, "rate": rate}


def _in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """The result of `work` in a thread that keeps no process alive: what it waits for may take a minute to give up."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        if not future.done():
            result()

    def run() -> None:
        try:
            found = work()
        except Exception as error:
            done: Callable[[], None] = partial(future.set_exception, error)
        else:
            done = partial(future.set_result, found)
        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(settle, done)

    threading.Thread(target=run, daemon=True).start()
    return future


def _failed(code: str, message: str, remedy: str) -> dict[str, Any]:
    return {"state": "failed", "error": json.dumps({"code": code, "message": message, "remedy": remedy})}


def _update(session: Session, job_id: str, **values: Any) -> None:
    job = session.get_one(tables.Job, job_id)
    for name, value in values.items():
        setattr(job, name, value)
    session.add(job)
