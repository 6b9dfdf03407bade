"""Scripted hosts and faults, for fleets and drills that this machine cannot have. Never a default.

A host without an `endpoint` runs real programs of this machine, each under a keeper, and does to them what its script
says. One with an `endpoint` runs nothing: that address answers for all its engines, and an attempt is a file that says
when it began and what becomes of it, so a thousand of them cost nothing. Both outlive whoever started them.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from backends.attempts import boot_id, read_json
from backends.base import Backend, BackendRefused, Capabilities, CouldNotLook, Exit, HostFacts, InstanceSpec, Resource
from backends.process import ProcessBackend
from backends.scripted import NO_CAPACITY, Moment, Record, Script

OOM_LINE = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
_LATE = (
    "import os, signal, sys, time; time.sleep(float(sys.argv[1])); "
    "signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2])); os.execvp(sys.argv[3], sys.argv[3:])"
)
"""Begins a program late, with an alarm that ends it, for programs inherit alarms; 0 s is none."""
_OOM = "import sys, time; time.sleep(float(sys.argv[1])); sys.exit(sys.argv[2])"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def this_moment() -> Moment:
    """Now, by this machine's clocks."""
    return Moment(time.time_ns() // 1_000, time.clock_gettime_ns(_CLOCK) // 1_000, boot_id())


class SimulatedBackend(Backend):
    """The scripted host `host` of the installation `owner`, whose attempts' directories are below `root`.

    `faults` (as `Script` has them) are of its first start, its second and so on; the last holds for all later ones.
    `prepare` and `load` are seconds that a start takes. `memory` is bytes of host memory. `clock` is for attempts of
    which nothing runs.
    """

    capabilities = Capabilities(stop_frees="all", logs="directory", min_poll_s=0.2)

    def __init__(
        self,
        root: Path,
        owner: str,
        *,
        host: str = "simulated",
        endpoint: str = "",
        faults: Sequence[str] = (),
        prepare: float = 0.0,
        load: float = 0.0,
        memory: int = 2**36,
        clock: Callable[[], Moment] = this_moment,
    ) -> None:
        self._owner = owner
        self._host = host
        self._endpoint = endpoint
        self._scripts = tuple(Script(fault, prepare, load) for fault in faults or ("none",))
        self._memory = memory
        self._clock = clock
        self._folder = root.absolute().parent / "simulated" / host
        self._programs = ProcessBackend(root, self._label(owner))
        self._records: dict[str, Record] = {}
        self._read = False

    async def probe(self) -> HostFacts:
        return HostFacts(self._host, self._memory, self._memory)

    async def create(self, spec: InstanceSpec, key: str) -> None:
        record = self._recorded(spec, key)
        if record.script.kind == "capacity":
            raise BackendRefused(f"{NO_CAPACITY} on {self._host}")
        if self._runs(record):
            program = replace(spec, owner=self._label(spec.owner), argv=_scripted(spec.argv, record.script))
            await self._programs.create(program, key)

    async def observe(self) -> tuple[Resource, ...]:
        now = self._clock()
        held = [r for r in self._known().values() if self._holds(r) and r.script.kind != "capacity"]
        seen = [(record, record.resource(self._endpoint, now)) for record in held]
        for record, resource in seen:
            if resource.exit is not None and not record.noticed:
                self._note_end(record, resource.exit)
        scripted = tuple(resource for _, resource in seen)
        return scripted if self._endpoint else (*scripted, *await self._programs.observe())

    async def stop(self, key: str, grace_s: float) -> None:
        record = self._known().get(key)
        if record is None or not self._holds(record):
            await self._programs.stop(key, grace_s)
        elif record.stopped is None and record.exit(now := self._clock()) is None:
            self._write(replace(record, stopped=now))

    async def delete(self, key: str) -> None:
        record = self._known().get(key)
        if record is None or not self._holds(record):
            await self._programs.delete(key)
        elif record.script.kind != "capacity" and record.exit(self._clock()) is None:
            raise BackendRefused(f"{key} still runs")
        else:
            self._write(replace(record, released=True))

    async def close(self) -> None:
        pass  # it is reached without a connection

    def _label(self, owner: str) -> str:
        """Whose the programs of this host are: no other host's, nor the process backend's."""
        return f"{owner}@{self._host}"

    def _runs(self, record: Record) -> bool:
        """Whether a real program is behind it."""
        return not self._endpoint and record.script.kind not in ("capacity", "timeout")

    def _holds(self, record: Record) -> bool:
        """Whether it is ours, is there, and nothing runs for it."""
        return record.owner == self._owner and not record.released and not self._runs(record)

    def _recorded(self, spec: InstanceSpec, key: str) -> Record:
        """What is recorded of `key`; its script is decided with its first creation."""
        known = self._known()
        if key not in known and (found := _read(self._folder / f"{key}.json")) is not None:
            known[key] = found  # another installation uses the same host
        if key not in known:
            script = self._scripts[min(len(known), len(self._scripts) - 1)]
            place = (spec.owner, spec.deployment, spec.instance, spec.epoch, spec.directory)
            self._write(Record(key, *place, self._clock(), script))
        if known[key].owner != self._owner:
            raise BackendRefused(f"{key} belongs to another installation")
        return known[key]

    def _known(self) -> dict[str, Record]:
        """Every attempt that this host ever had, by its key, in the order in which they were created."""
        if not self._read:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                found = (_read(path) for path in self._folder.glob("*.json"))
                for record in sorted(filter(None, found), key=lambda record: (record.began.at, record.key)):
                    self._records.setdefault(record.key, record)
            except OSError as error:
                raise CouldNotLook(f"{self._host}: {error}") from error
            self._read = True
        return self._records

    def _note_end(self, record: Record, how: Exit) -> None:
        """Leave behind what an engine does that has ended: its last words, and how it went."""
        directory = Path(record.directory)
        try:
            if directory.is_dir():
                if record.script.kind == "oom" and how.code is not None:
                    (directory / "head.log").write_text(f"{OOM_LINE}\n", "ascii")
                (directory / "exit.json").write_text(json.dumps(asdict(how)), "ascii")
        except OSError as error:
            raise CouldNotLook(f"{self._host}: {error}") from error
        self._write(replace(record, noticed=True))

    def _write(self, record: Record) -> None:
        path = self._folder / f"{record.key}.json"
        partial = path.with_suffix(".partial")
        try:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                json.dump(asdict(record), file)
            partial.replace(path)
        except OSError as error:
            raise CouldNotLook(f"{self._host}: {error}") from error
        self._records[record.key] = record


def _read(path: Path) -> Record | None:
    """The record in the file; None if there is none that makes sense."""
    try:
        return Record.from_json(read_json(path))
    except (KeyError, TypeError):
        return None


def _scripted(argv: tuple[str, ...], script: Script) -> tuple[str, ...]:
    """The program that is run instead of `argv`, so that what the script says becomes of it."""
    wait = str(script.prepare + script.load)
    python = (sys.executable, "-I", "-c")
    if script.kind == "oom":
        return (*python, _OOM, wait, OOM_LINE)
    if script.kind == "crash" or float(wait):
        return (*python, _LATE, wait, str(script.after), *argv)
    return argv
