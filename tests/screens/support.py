"""Situations in a store, written down as the server would have written them: attempts, events, requests, logs."""

import json
import os
import re
import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from textual.pilot import Pilot

from app.boot import boot_id, boot_us
from app.domain.findings import Finding
from app.domain.ids import ulid
from app.domain.variant import VariantSpec
from app.processes import announce, take_lock
from app.store import jobs, tables
from app.store.findings import Found, record
from app.store.migrate import schema_version
from app.store.write import Store, acquire_lease
from app.version import __version__
from tests.screens.homes import empty_home
from tests.store.spec import spec
from tests.widgets.support import screen_of, until

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

HOSTILE = "[red]x[/red] \x1b[2J\x1b]52;c;QQ==\x07\u202ebad\u200f \x9b31m \x90q\x9c e\u0301"
"""Markup, escape sequences in both spellings, bidi controls, a combining accent."""

GOING_UP = (
    ("pending/allocating", "wished to run", 0),
    ("pending/starting", "the engine was started", 200_000),
    ("pending/loading", "the engine is reading the weights", 1_300_000),
    ("running/serving", "the engine answered with a token", 7_200_000),
)
"""How a start goes well: state, cause, microseconds since it began."""


class Scribe:
    """Writes rows into the store of a home. `now` is the moment that all its times are relative to."""

    def __init__(self, path: Path) -> None:
        self.home = empty_home(path)
        self.now = time.time_ns() // 1_000
        self._store = Store(self.home.store)
        self._held: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for descriptor in self._held:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the store; what is held up stays."""
        self._store.close()

    def up(self, url: str = "http://127.0.0.1:9") -> None:
        """From now on a server and a gateway are there as far as anybody can tell, until the scribe leaves."""
        facts = {"pid": os.getpid(), "version": __version__, "schema": schema_version(), "since": self.now}
        for path, more in ((self.home.server_lock, {}), (self.home.gateway_lock, {"url": url})):
            descriptor = take_lock(path)
            assert descriptor is not None
            announce(descriptor, facts | more)
            self._held.append(descriptor)
        # Its sign of life lies ahead, so that it is a fresh one however slow the machine is.
        acquire_lease(self._store, "test", boot_id(), boot_us() + HOUR)

    def findings(self, attempt: str, *found: Finding) -> None:
        """What was recognised in the output of an attempt."""
        with self._store.write() as session:
            record(session, [Found(attempt, self.now, each) for each in found])

    def deployment(
        self,
        name: str,
        *changes: dict[str, Any],
        age: int = 5 * HOUR,
        replicas: int = 1,
        base: dict[str, Any] | None = None,
    ) -> str:
        """A deployment with a variant and one more for each of `changes`, an hour apart, the last current; its id.

        `base` is what the first has that is not the usual.
        """
        deployment_id, began, current = ulid(), self.now - age, spec(**(base or {}))
        specs = [current]
        for change in changes:
            specs.append(current := replace(current, **change))
        variants = [self._variant(deployment_id, n, each, began + n * HOUR) for n, each in enumerate(specs)]
        row = tables.Deployment(
            id=deployment_id,
            name=name,
            wish="running",
            wish_at=began,
            replicas=replicas,
            variant_id=variants[-1].id,
            status="REQUESTED",
            created_at=began,
        )
        with self._store.write() as session:
            session.add_all([row, *variants])
        self.events(deployment_id, name, began, [("REQUESTED", "launched", 0)], actor="ada")
        return deployment_id

    def instance(self, deployment_id: str, letter: str = "a", **columns: Any) -> str:
        """An instance of the current variant, serving unless `columns` say else; its id."""
        with self._store.write() as session:
            deployment = session.get_one(tables.Deployment, deployment_id)
            values: dict[str, Any] = {
                "id": ulid(),
                "deployment_id": deployment_id,
                "variant_id": deployment.variant_id,
                "name": f"{deployment.name}-{letter}",
                "backend": "process",
                "state": "running",
                "phase": "serving",
                "since": self.now - 4 * HOUR - 12 * MINUTE,
                "created_at": self.now - 4 * HOUR - 12 * MINUTE - 30 * SECOND,
            }
            row = tables.Instance(**values | columns)
            session.add(row)
            return row.id

    def attempt(self, instance_id: str, number: int = 1, **columns: Any) -> str:
        """An attempt of an instance, its current one from now on; its id."""
        with self._store.write() as session:
            instance = session.get_one(tables.Instance, instance_id)
            began = columns.pop("created_at", instance.created_at)
            ended = columns.pop("ended_at", None if instance.state in ("pending", "running") else instance.since)
            row = tables.Attempt(
                id=ulid(), instance_id=instance_id, number=number, epoch=1, created_at=began, ended_at=ended, **columns
            )
            session.add(row)
            session.flush()
            instance.attempt_id = row.id
            session.add(instance)
            return row.id

    def end(self, attempt_id: str) -> None:
        """Note that an attempt has ended: an instance has one under way at most."""
        with self._store.write() as session:
            row = session.get_one(tables.Attempt, attempt_id)
            row.ended_at = time.time_ns() // 1_000
            session.add(row)

    def events(
        self,
        deployment_id: str,
        subject: str,
        began: int,
        steps: Sequence[tuple[str, str, int]],
        detail: str = "",
        actor: str = "server",
    ) -> None:
        """Transitions, each (state, cause, microseconds after `began`). The last one has the `detail`."""
        before: str | None = None
        with self._store.write() as session:
            for n, (state, cause, after) in enumerate(steps):
                event = tables.Event(
                    at=began + after,
                    deployment_id=deployment_id,
                    subject=subject,
                    from_state=before,
                    to_state=state,
                    cause=cause,
                    actor=actor,
                    detail=detail if n == len(steps) - 1 else "",
                )
                session.add(event)
                session.flush()
                before = state

    def requests(
        self, deployment_id: str, instance_id: str, attempt_id: str | None, samples: Sequence[tuple[int, int | None]]
    ) -> None:
        """Answered requests, each (microseconds before now, time to first token)."""
        with self._store.write() as session:
            for ago, ttft in samples:
                identity = ulid()
                session.add(
                    tables.Request(
                        id=identity,
                        request_id=identity,
                        deployment_id=deployment_id,
                        instance_id=instance_id,
                        attempt_id=attempt_id,
                        path="/v1/chat/completions",
                        stream=1,
                        status=200,
                        started_at=self.now - ago,
                        ttft_us=ttft,
                        tokens_in=31,
                        tokens_out=128,
                    )
                )

    def refused(self, **columns: Any) -> None:
        """A request that no engine saw."""
        values = {"id": ulid(), "path": "/v1/chat/completions", "stream": 0, "status": 503, "started_at": self.now}
        with self._store.write() as session:
            session.add(tables.Request(**{"request_id": "x", **values, **columns}))

    def fetching(self, deployment_id: str, done: int, total: int) -> str:
        """A job that fetches the weights of a deployment's current variant; its id."""
        with self._store.write() as session:
            variant_id = session.get_one(tables.Deployment, deployment_id).variant_id
            job_id = jobs.submit(session, "fetch", {"variant_id": variant_id}, HOUR)
            session.flush()
            job = session.get_one(tables.Job, job_id)
            job.state, job.progress = "running", json.dumps({"done": done, "total": total})
            session.add(job)
        return job_id

    def fetched(self, job_id: str) -> None:
        """Note that a job is done."""
        with self._store.write() as session:
            job = session.get_one(tables.Job, job_id)
            job.state, job.ended_at = "done", time.time_ns() // 1_000
            session.add(job)

    def key(self, name: str) -> None:
        """A key for everything."""
        with self._store.write() as session:
            session.add(tables.Key(id=ulid()[-8:], name=name, digest=bytes(32), created_at=self.now))

    def log(self, attempt_id: str, head: bytes, *tails: tuple[int, bytes], ended: bool = False) -> Path:
        """The directory of an attempt with its output: the head, and tails by the offset of their first byte."""
        directory = self.home.attempts / attempt_id
        directory.mkdir(mode=0o700, exist_ok=True)
        names = ["tail.1.log", "tail.log"][-len(tails) :] if tails else []
        found = [
            ("head.log", 0, head),
            *((name, start, data) for name, (start, data) in zip(names, tails, strict=True)),
        ]
        segments = []
        for name, start, data in found:
            (directory / name).write_bytes(data)
            segments.append({"name": name, "start": start, "inode": (directory / name).stat().st_ino})
        (directory / "record.json").write_text(json.dumps({"segments": segments}))
        if ended:
            (directory / "exit.json").write_text("{}")
        return directory

    def _variant(self, deployment_id: str, place: int, given: VariantSpec, at: int) -> tables.Variant:
        text = json.dumps(given.to_json())
        return tables.Variant(id=ulid(), deployment_id=deployment_id, number=place + 1, spec=text, created_at=at)


def times(directory: Path, pairs: Sequence[tuple[int, int]]) -> None:
    """The time index of an attempt: (global offset, UTC microseconds)."""
    (directory / "times").write_bytes(b"".join(struct.pack("<QQ", *pair) for pair in pairs))


def timeless(text: str) -> str:
    """`text` with every time of day, date and measured figure made the same, so that it can be compared tomorrow."""
    text = re.sub(r"TTFT \d+ ms( fastest)?(?= ·)", "TTFT N ms", text)
    text = re.sub(r"\d+ tok/s( fastest)?(?= ·)", "N tok/s", text)
    text = re.sub(r"(?<=\d out)  +", "  ", text)
    text = re.sub(r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d\b|\b\d\d:\d\d:\d\d\b", "HH:MM:SS", text)
    text = re.sub(r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d\b", "Day Mon 00", text)
    text = re.sub(r"\b\d(?=[smhd] ago\b)|(?<=since )\d(?=[smhd]\b)", "N", text)
    text = re.sub(r"(?<=  month )\d+\.\d\d$", "N.NN", text, flags=re.MULTILINE)
    return re.sub(r"(?<=HH:MM:SS)  +|(?<=TIME    )  +", "  ", text)


async def looks(pilot: Pilot[Any], name: str) -> None:
    """Wait until the screen is that of the file in `golden/`, times aside; with GOLDEN=write, write what it is now."""
    path = Path(__file__).parent / "golden" / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        await pilot.pause(1.0)
        path.write_text(timeless(screen_of(pilot.app)), encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    await until(pilot, lambda: timeless(screen_of(pilot.app)) == wanted)


def serving(scribe: Scribe, name: str = "chat") -> str:
    """A deployment of three variants whose two instances have served for four hours; its id."""
    deployment = scribe.deployment(name, {"context": 8192}, {"kv_type": "q8_0", "flags": {"threads": "4"}}, replicas=2)
    for letter in "ab":
        began = scribe.now - 4 * HOUR - 12 * MINUTE - 30 * SECOND
        served = began + 7_200_000
        instance = scribe.instance(deployment, letter, since=served, ready_at=served, created_at=began, served=1)
        attempt = scribe.attempt(instance, ready_at=served)
        scribe.events(deployment, f"{name}-{letter}", began, GOING_UP)
        scribe.requests(
            deployment,
            instance,
            attempt,
            [
                (minute * MINUTE + n * SECOND, 100_000 + 3_000 * minute)
                for minute in range(50)
                for n in range(minute % 7)
            ],
        )
    return deployment


def failing(
    scribe: Scribe, name: str = "coder", evidence: str = "", change: dict[str, Any] | None = None, **columns: Any
) -> str:
    """A deployment whose only instance failed two minutes ago, for want of memory unless `columns` say else; its id.

    `change` is what its configuration has that is not the usual.
    """
    code = columns.setdefault("failure_code", "HOST_OOM")
    deployment = scribe.deployment(name, age=10 * MINUTE, base=change or {})
    at = scribe.now - 2 * MINUTE - 30 * SECOND
    instance = scribe.instance(
        deployment,
        created_at=at - 9 * SECOND,
        since=at,
        **{
            "state": "failed",
            "phase": "failed",
            "failure_evidence": evidence,
            "failed_at": at,
            **columns,
        },
    )
    scribe.attempt(instance, ended_at=at, failure_code=code)
    steps = (*GOING_UP[:3], ("failed/failed", code, 9 * SECOND))
    scribe.events(deployment, f"{name}-a", at - 9 * SECOND, steps, evidence)
    return deployment
