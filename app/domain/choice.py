"""Which engine serves a model on a machine: every way there is, what speaks against each, and the best one, in words.

The ways are tried in the order of the presets, as processes before containers; the first that nothing speaks against
is chosen. What is not known (a model's architecture, a host that was never looked at) speaks against nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from app.domain.engines import CONTAINERS, PROCESS, Needs, Preset
from app.domain.gpus import Gpu
from app.domain.text import safe

LEAST_DRIVER = {"13": 580, "12": 525, "11": 450}
"""The first NVIDIA driver for each major version of CUDA, where a driver tells its own version and not CUDA's
(https://docs.nvidia.com/deploy/cuda-compatibility/)."""


class Stage(IntEnum):
    """What is asked of a way to serve a model, in this order: the later it fails, the nearer it is to possible."""

    FORMAT = 0
    FORM = 1
    PLATFORM = 2
    GPU = 3
    AGE = 4
    DRIVER = 5
    DAEMON = 6
    PROGRAM = 7
    ARCHITECTURE = 8


@dataclass(frozen=True, slots=True)
class Traits:
    """What of a model decides who serves it. None is what is not known.

    `architecture` is called as its configuration (`model_type`) or its GGUF file calls it. `context` is the longest
    that it was made for, in tokens.
    """

    name: str
    format: str
    architecture: str | None = None
    quantisation: str | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where an engine would run. `gpus` and `cuda`, the newest version that the driver runs, are None if not known.

    `system` and `processor` are those of Python's `platform`, in small letters. `containers` says that a Docker daemon
    can be asked, `installed` names the engines whose program is here.
    """

    name: str
    system: str
    processor: str
    gpus: tuple[Gpu, ...] | None = None
    driver: str | None = None
    cuda: str | None = None
    containers: bool = False
    installed: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        """`linux/x86_64`; Apple's and Linux's words for the same processor are one."""
        processor = {"aarch64": "arm64", "amd64": "x86_64"}.get(self.processor, self.processor)
        return f"{self.system}/{processor}"


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A way to serve it that is not taken: what it fails, a code of the catalogue, and a sentence."""

    engine: str
    backend: str
    stage: Stage
    code: str
    why: str

    @property
    def place(self) -> str:
        """`vllm in a container`."""
        return _way(self.engine, self.backend)

    @property
    def certain(self) -> bool:
        """Whether it cannot be; else it is not meant to be, or not known, and may be tried by whoever asks for it."""
        return self.stage not in (Stage.PLATFORM, Stage.DAEMON, Stage.ARCHITECTURE)


@dataclass(frozen=True, slots=True)
class Choice:
    """Who serves it and why, and who does not and why not.

    `doubt` is what speaks against it all the same: if it is certain, nobody can, and `engine` is only the nearest.
    `asked` says that somebody named the engine or its backend, `instead` who would take it then. `gpus` is what a
    container has to be given of them, as `--gpus` takes it.
    """

    engine: str
    backend: str
    reason: str
    ruled_out: tuple[RuledOut, ...] = ()
    doubt: RuledOut | None = None
    instead: str = ""
    gpus: str | None = None
    asked: bool = False

    @property
    def refused(self) -> bool:
        """Whether it is not to be started: it cannot be, or nobody asked to try what it is not meant for."""
        doubt = self.doubt
        return doubt is not None and (doubt.certain or not (self.asked or doubt.stage is Stage.ARCHITECTURE))

    @property
    def fits(self) -> bool:
        """Whether nothing is known against it."""
        return self.doubt is None

    @property
    def others(self) -> tuple[str, ...]:
        """Why not each of the others, in words: `not mlx: it is made for …`; one line for both ways of an engine."""
        names = ((each.place if each.engine == self.engine else each.engine, each.why) for each in self.ruled_out)
        return tuple(dict.fromkeys(f"not {name}: {why}" for name, why in names))


def choose(
    traits: Traits,
    machine: Machine,
    presets: Mapping[str, Preset],
    *,
    engine: str | None = None,
    backend: str | None = None,
    gpus: str | None = None,
) -> Choice:
    """The engine for a model on a machine. `engine` and `backend` leave only the ways that somebody asked for.

    `gpus` are those that were asked for (`--gpus`); a GPU that an engine cannot do without is chosen otherwise.
    """
    ways = [
        (preset, where)
        for preset in presets.values()
        for where in ways_of(preset)
        if engine in (None, preset.name) and backend in (None, where)
    ]
    out: list[RuledOut] = []
    chosen: tuple[Preset, str] | None = None
    for preset, where in ways:
        found = next(against(traits, machine, preset, where, gpus), None)
        if found is not None:
            out.append(found)
        elif chosen is None:
            chosen = preset, where
    if chosen is None:
        asked_for = engine is not None or backend is not None
        return _nearest(traits, machine, presets, tuple(out), engine, gpus, asked_for)
    preset, where = chosen
    taken = _taken(preset, where, machine, gpus)
    return Choice(preset.name, where, _reason(preset, where, traits, machine, taken), tuple(out), gpus=taken)


def ways_of(preset: Preset) -> list[str]:
    """The backends that an engine has a command for."""
    return [PROCESS] * bool(preset.command) + [CONTAINERS] * (preset.container is not None)


def against(
    traits: Traits, machine: Machine, preset: Preset, backend: str, gpus: str | None = None
) -> Iterator[RuledOut]:
    """All that speaks against a way to serve a model, the weightiest first; nothing if it can be."""
    name, needs, form = preset.name, preset.needs, traits.quantisation
    what = f"{name} {preset.version}".strip()

    def out(stage: Stage, code: str, why: str) -> RuledOut:
        return RuledOut(name, backend, stage, code, why)

    if traits.format not in preset.formats:
        why = f"it serves {' and '.join(preset.formats)}, not {safe(traits.format, 40)}"
        yield out(Stage.FORMAT, "ARCH_UNSUPPORTED", why)
    if form is not None and form in needs.refuses:
        yield out(Stage.FORM, "ARCH_UNSUPPORTED", f"{what} does not read weights stored as {safe(form, 40)}")
    if needs.platforms and machine.kind not in needs.platforms:
        why = f"it is made for {' and '.join(needs.platforms)}, this is {machine.kind}"
        yield out(Stage.PLATFORM, "GPU_INCOMPATIBLE", why)
    for stage, why in _hardware(what, needs, form, machine, gpus):
        yield out(stage, "GPU_INCOMPATIBLE", why)
    if backend == PROCESS and name not in machine.installed:
        yield out(Stage.PROGRAM, "ENTRYPOINT_MISSING", f"it is not installed here: no module `{preset.module}`")
    if backend == CONTAINERS and not machine.containers:
        yield out(Stage.DAEMON, "HOST_UNREACHABLE", f"no Docker daemon can be asked on {machine.name}")
    known = preset.architectures.get(traits.format, ())
    if traits.architecture is not None and known and traits.architecture not in known:
        why = f"{what} is not known to serve the architecture `{safe(traits.architecture, 40)}`"
        yield out(Stage.ARCHITECTURE, "ARCH_UNSUPPORTED", why)


def _hardware(
    what: str, needs: Needs, form: str | None, machine: Machine, gpus: str | None
) -> Iterator[tuple[Stage, str]]:
    if not needs.capability or machine.gpus is None:
        return
    if not asked(gpus, machine):
        none = "no such one" if gpus and machine.gpus else "none"
        yield Stage.GPU, f"{what} needs an NVIDIA GPU, and {machine.name} has {none}"
    yield from ((Stage.AGE, why) for why in _too_old(what, needs.capability, machine, gpus))
    if form is not None and (least := needs.by_form.get(form)) is not None:
        yield from ((Stage.AGE, why) for why in _too_old(f"{form} in {what}", least, machine, gpus))
    yield from ((Stage.DRIVER, why) for why in _driver_lacks(what, needs.cuda, machine))


def asked(gpus: str | None, machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs of the machine that `--gpus` names; for a count, those with the most free memory."""
    every = tuple(gpu for gpu in machine.gpus or () if not gpu.trouble)
    # A slice is chosen by its name only.
    known = tuple(gpu for gpu in every if gpu.slice is None)
    if not gpus or gpus == "all":
        return known
    if gpus.startswith("count="):
        count = int(gpus.removeprefix("count="))
        return tuple(sorted(known, key=lambda gpu: gpu.vram_free or 0, reverse=True)[:count])
    wanted = gpus.split(",")
    return tuple(gpu for gpu in every if gpu.uuid in wanted or (gpu.slice is None and str(gpu.index) in wanted))


def _too_old(what: str, least: str, machine: Machine, gpus: str | None) -> Iterator[str]:
    """GPUs whose compute capability is below `least`: all of them if none was named, else any of those named."""
    known = [(gpu, gpu.capability) for gpu in asked(gpus, machine) if gpu.capability is not None]
    old = [(gpu, has) for gpu, has in known if _numbers(has) < _numbers(least)]
    if old and (gpus or len(old) == len(known)):
        gpu, has = old[0]
        yield f"{what} needs compute capability {least}, GPU {gpu.index} ({safe(gpu.name, 40)}) has {has}"


def _driver_lacks(what: str, cuda: str, machine: Machine) -> Iterator[str]:
    if not cuda or not machine.gpus:
        return
    if machine.cuda is not None:
        # A driver runs every minor version of the CUDA that it is for.
        if _numbers(machine.cuda)[0] < _numbers(cuda)[0]:
            driver = f"driver {safe(machine.driver, 40)}" if machine.driver else "the driver"
            yield f"{what} needs CUDA {cuda}, {driver} runs {safe(machine.cuda, 20)} at most"
        return
    least = LEAST_DRIVER.get(cuda.partition(".")[0])
    if least is not None and machine.driver and _numbers(machine.driver)[0] < least:
        yield f"{what} needs CUDA {cuda}, so a driver from {least} on; this one is {safe(machine.driver, 40)}"


def _taken(preset: Preset, backend: str, machine: Machine, gpus: str | None) -> str | None:
    """The GPUs that a container is given: those asked for, else the one with the most free memory, by its index."""
    wanted = preset.needs.capability or (preset.needs.gpu and machine.gpus)
    if gpus or not wanted or backend != CONTAINERS:
        return gpus
    best = max(asked(None, machine), key=lambda gpu: gpu.vram_free or 0, default=None)
    return "count=1" if best is None else str(best.index)


def _reason(preset: Preset, backend: str, traits: Traits, machine: Machine, gpus: str | None) -> str:
    held = ""
    if gpus and machine.gpus:
        names = sorted({safe(gpu.name, 40) for gpu in asked(gpus, machine) if gpu.name})
        held = f" ({', '.join(names)})" if names else ""
    return f"{_way(preset.name, backend)}: {traits.format}, {preset.why or 'it serves that'}{held}"


def _nearest(
    traits: Traits,
    machine: Machine,
    presets: Mapping[str, Preset],
    out: tuple[RuledOut, ...],
    engine: str | None,
    gpus: str | None,
    asked_for: bool,
) -> Choice:
    """Something speaks against every way: the one with the least against it, and who else would take it."""
    if not out:
        return Choice(engine or "", PROCESS, "no such engine is configured")
    best = max(out, key=lambda each: each.stage)
    reason = f"{best.place}: the nearest, but {best.why}"
    instead = ""
    if engine is not None:
        other = choose(traits, machine, presets, gpus=gpus)
        if other.doubt is None:
            instead = f"`--engine {other.engine}` serves it: {other.reason}."
        else:
            near = [
                each
                for each in (*other.ruled_out, other.doubt)
                if each.stage > Stage.PLATFORM and each.engine != engine
            ]
            instead = " ".join(f"{each.place} would take it, but {each.why}." for each in near)
    taken = _taken(presets[best.engine], best.backend, machine, gpus)
    return Choice(
        best.engine,
        best.backend,
        reason,
        tuple(each for each in out if each is not best),
        doubt=best,
        instead=instead,
        gpus=taken,
        asked=asked_for,
    )


def _way(engine: str, backend: str) -> str:
    return f"{engine} in a container" if backend == CONTAINERS else engine


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)) or (0,)
