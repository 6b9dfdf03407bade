"""What engines take: measured once they serve and while they are used, and noted when it is more than before."""

import asyncio
import contextlib
import importlib.metadata
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from app.domain.engines import Preset
from app.domain.failures import StokerError
from app.domain.gpus import HostFacts
from app.domain.hosts import LOCAL
from app.domain.lifecycle import Phase
from app.domain.variant import VariantSpec
from app.domain.vram.learning import place_of, settings_of
from app.domain.vram.peak import HOST, Peak
from app.domain.vram.printed import Printed, Taken, printed
from app.launch.fit import fit
from app.settings import Home
from app.store import peaks, read
from app.store.attempts import AttemptLog
from app.store.hosts import hosts
from app.store.write import LeaseLost

MEASURE_EVERY_S = 5.0
_PRINTED_WITHIN = 4 << 20
"""Bytes from the beginning of the output that are searched: an engine names its buffers before it serves."""
_MORE = 1.02
"""A later look counts if it saw a fiftieth more; less is what two looks differ by."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """One engine that serves: its attempt, where it runs, and whether it has answered requests."""

    attempt_id: str
    spec: VariantSpec
    pid: int | None
    busy: bool


class Peaks:
    """Notes what every serving engine takes. `write` runs a change under the lease."""

    def __init__(self, home: Home, presets: Mapping[str, Preset], write: Callable[..., Awaitable[None]]) -> None:
        self._home = home
        self._presets = presets
        self._write = write
        self._known: dict[str, tuple[Peak, Printed] | None] = {}
        self._noted: dict[str, Peak] = {}

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            try:
                for peak in await asyncio.to_thread(self._look):
                    await self._write(peaks.record, peak)
                    self._noted[peak.start] = peak
            except LeaseLost:
                raise
            except StokerError as error:
                log.warning("what engines take could not be noted: %s: %s", error.code, error.message)
            except Exception:
                log.exception("What engines take could not be measured. It is tried again.")
            await asyncio.sleep(MEASURE_EVERY_S)

    def _look(self) -> list[Peak]:
        """What is new about those that serve. Reads logs and the hub: runs in a thread."""
        with read.reading(self._home.store) as connection:
            serving = _serving(connection)
            facts = {found.name: found for found in hosts(connection)}
            for each in serving:
                if each.attempt_id not in self._noted and (before := peaks.of_attempt(connection, each.attempt_id)):
                    self._noted[each.attempt_id] = before[-1]
        live = {each.attempt_id for each in serving}
        self._known = {start: known for start, known in self._known.items() if start in live}
        self._noted = {start: noted for start, noted in self._noted.items() if start in live}
        return [peak for each in serving if (peak := self._news(each, facts)) is not None]

    def _news(self, serving: Serving, facts: Mapping[str, HostFacts]) -> Peak | None:
        """What it takes, if that is known and more than was noted."""
        if serving.attempt_id not in self._known:
            self._known[serving.attempt_id] = self._describe(serving)
        described = self._known[serving.attempt_id]
        if described is None:
            return None
        peak, said = described
        taken = _on_host(serving, said) if peak.place == HOST else _on_gpus(serving, said, facts)
        if taken is None or all(each == Taken() for each in taken):
            return None
        peak = replace(peak, taken=taken, busy=serving.busy, at=time.time_ns() // 1_000)
        noted = self._noted.get(serving.attempt_id)
        return peak if noted is None or peak.busy > noted.busy or peak.total > noted.total * _MORE else None

    def _describe(self, serving: Serving) -> tuple[Peak, Printed] | None:
        """What the start hangs on, and what it has printed; None where its model cannot be described."""
        try:
            found = fit(serving.spec, self._home)
        except (StokerError, OSError) as error:
            log.info("what %s takes is not noted: %s", serving.attempt_id, error)
            return None
        place = None if found is None else place_of(found.setup)
        if found is None or place is None:
            return None
        engine = serving.spec.engine
        said = printed(engine, _beginning(self._home.attempts / serving.attempt_id))
        if place == HOST and said.gpus:
            return None  # it found a GPU that nobody gave it
        peak = Peak(
            start=serving.attempt_id,
            engine=engine,
            version=said.version or self._installed(serving.spec),
            architecture=found.facts.shape.kind,
            quantisation=found.facts.weights.quantisation,
            place=place,
            weights=int(found.facts.weights.total),
            settings=settings_of(found.setup),
            taken=(),
            busy=False,
            at=0,
        )
        return peak, said

    def _installed(self, spec: VariantSpec) -> str:
        """The version of an engine that runs from a package of this installation; empty for others."""
        preset = self._presets.get(spec.engine)
        if spec.backend != "process" or preset is None or preset.module is None:
            return ""
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(preset.module)
        return ""


def _serving(connection: sqlite3.Connection) -> list[Serving]:
    instances = [i for d in read.deployments(connection) for i in d.instances if i.phase is Phase.SERVING and i.attempt]
    specs = read.specs(connection, sorted({i.variant_id for i in instances}))
    used = "SELECT EXISTS (SELECT 1 FROM requests WHERE attempt_id = ? AND code IS NULL)"
    return [
        Serving(i.attempt.id, specs[i.variant_id], i.pid, bool(connection.execute(used, (i.attempt.id,)).fetchone()[0]))
        for i in instances
        if i.attempt is not None
    ]


def _beginning(directory: Path) -> str:
    output = AttemptLog(directory)
    data = b""
    while len(data) < _PRINTED_WITHIN and (piece := output.read(len(data))).data and not piece.missing:
        data += piece.data
    return data.decode("utf-8", "replace")


def _on_host(serving: Serving, said: Printed) -> tuple[Taken, ...] | None:
    """What llama.cpp keeps on this machine; of another host's memory nobody tells."""
    if serving.spec.host is not None or serving.pid is None:
        return None
    return (replace(said.host or Taken(), total=resident(serving.pid)),)


def _on_gpus(serving: Serving, said: Printed, facts: Mapping[str, HostFacts]) -> tuple[Taken, ...] | None:
    """What the engine named, with what the driver counts for its processes on each GPU that they are on."""
    found = facts.get(serving.spec.host or LOCAL)
    gpus = () if found is None else found.look.gpus
    totals: list[int | None] = []
    for gpu in gpus:
        ours = [h for h in gpu.holders or () if serving.pid is not None and serving.pid in (h.pid, *h.parents)]
        if ours:
            sizes = [h.bytes for h in ours]
            totals.append(None if None in sizes else sum(size or 0 for size in sizes))
    named = said.gpus * len(totals) if len(said.gpus) == 1 else said.gpus
    if not totals:
        return said.gpus or None
    if len(named) != len(totals):
        named = (Taken(),) * len(totals)
    return tuple(replace(each, total=total) for each, total in zip(named, totals, strict=True))


def resident(pid: int) -> int | None:
    """The most bytes that a process and those below it have had in memory; None if that is not told, or it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    sizes = [size for member in family if (size := _highest(member)) is not None]
    return sum(sizes) or None


def _highest(process: psutil.Process) -> int | None:
    """Linux remembers the highest; elsewhere what it is now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text("utf-8", "replace")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError, IndexError):
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
    return None
