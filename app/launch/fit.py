"""Whether a configuration fits where it would run, known before it is started: GPUs, or this machine's memory."""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from app.domain.engines import CONTAINERS
from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec
from app.domain.vram.estimate import ENGINES, estimate
from app.domain.vram.gpus import Gpu
from app.domain.vram.setup import Estimate, Setup
from app.domain.vram.share import share_of
from app.domain.vram.solve import largest_context
from app.launch.cards import cards
from app.launch.facts import ModelFacts, from_folder, from_gguf, learn
from app.launch.memory import ADDRESS_SPACE, PER_CORE
from app.launch.models import at_hand
from app.settings import Home
from app.store.peaks import of_kind

_ON_CPU = "llama.cpp"
"""The engine whose memory is known where there is no GPU."""
_TENSOR = ("tensor-parallel-size", "tp-size", "tp")
_COPIES = ("data-parallel-size", "dp-size")
_TELLING = ("vllm", "sglang")
"""Engines that are passed the number of their GPUs."""
_PIPELINE = ("pipeline-parallel-size", "pp-size", "pp")


@dataclass(frozen=True, slots=True)
class Fit:
    """What one replica takes, of what, and how that was asked.

    `place` is `this machine`, or the names of GPUs. Bytes of memory there, of the smallest GPU where there are several:
    `total` in all, `limit` what may be used: what is free, or what a replica's own limit leaves for its buffers.
    `context` is the largest that fits there. `share` is the part of each GPU that the engine is to claim, None if it
    takes what it needs or is told something else.
    """

    place: str
    facts: ModelFacts
    setup: Setup
    estimate: Estimate
    limit: int
    total: int
    context: int
    share: float | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it is the memory of GPUs."""
        return not self.setup.gpus[0].host

    @property
    def need(self) -> int:
        """Bytes of the GPU that takes most, or of this machine's memory."""
        return max(part.total for part in self.estimate.per_gpu)

    @property
    def most(self) -> int:
        """The same at the upper edge of what is estimated."""
        return int(self.need * self.estimate.band[1] / max(1, self.estimate.total))


def fit(spec: VariantSpec, home: Home) -> Fit | None:
    """How `spec` fits; None where that is not known: another engine, a model that is not here, GPUs not looked at yet.

    Raises MODEL_LOAD_ERROR, ARCH_UNSUPPORTED or MODEL_NOT_FOUND for a model that cannot be understood, what the hub
    says of one that is there, BAD_FLAG and CONFIG_INVALID for settings that cannot be.
    """
    model = spec.model
    if spec.engine not in ENGINES or (model.source != "hub" and at_hand(model, home) is None):
        return None
    if spec.gpus:
        chosen = cards(home, spec.host, spec.gpus) if spec.backend == CONTAINERS else ()
        names = " and ".join(dict.fromkeys(card.name for card in chosen))
        return _fit(f"{spec.host}, {names}" if spec.host else names, spec, home, chosen) if chosen else None
    if spec.host or spec.engine != _ON_CPU or model.format != "gguf":
        return None
    total, available = memory()
    limit = available
    if spec.memory_limit is not None and spec.backend == CONTAINERS:
        limit = min(available, spec.memory_limit)
    elif spec.memory_limit is not None:  # one of address space, of which the program maps more than it keeps
        limit = min(available, max(0, spec.memory_limit - ADDRESS_SPACE - PER_CORE * (os.cpu_count() or 1)))
    return _fit("this machine", spec, home, (Gpu("this machine", total, free=limit, host=True),))


def share_on(spec: VariantSpec, home: Home) -> float | None:
    """The share of its GPUs for `spec` where it is placed; None where that cannot be told."""
    try:
        found = fit(spec, home)
    except StokerError:
        return None  # the engine's own default then
    return None if found is None else found.share


def claimed_on(spec: VariantSpec, home: Home) -> int | None:
    """Bytes of each GPU that an engine with a share will claim, which may be more than it needs; None for any other."""
    try:
        found = fit(spec, home)
    except StokerError:
        return None
    if found is None or found.share is None:
        return None
    return max(part.reserved for part in found.estimate.per_gpu)


def _fit(place: str, spec: VariantSpec, home: Home, gpus: tuple[Gpu, ...]) -> Fit:
    facts = known_facts(spec.model, home)
    measured = of_kind(home.store, spec.engine, facts.shape.kind, facts.weights.quantisation)
    setup = replace(_setup(spec, gpus), peaks=measured)
    # What would fit beside this is asked of all that is free, and this of its own share.
    claim = None if _told(spec) else share_of(facts.shape, facts.weights, setup)
    share = None if claim is None else spec.share or claim[0]
    widest = setup if claim is None else replace(setup, utilisation=claim[1])
    asked = setup if share is None else replace(setup, utilisation=share)
    return Fit(
        place,
        facts,
        widest,
        estimate=estimate(facts.shape, facts.weights, asked),
        limit=min(gpu.room for gpu in gpus),
        total=min(gpu.total for gpu in gpus),
        context=largest_context(facts.shape, facts.weights, widest) or 0,
        share=share,
    )


def memory(table: Path = Path("/proc/meminfo")) -> tuple[int, int]:
    """Bytes of this machine's memory, in all and available now. Linux tells without a library that is slow to load."""
    try:
        lines = dict(line.split(":", 1) for line in table.read_text("ascii").splitlines() if ":" in line)
        return int(lines["MemTotal"].split()[0]) * 1024, int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        import psutil

        found = psutil.virtual_memory()
        return found.total, found.available


def _setup(spec: VariantSpec, gpus: tuple[Gpu, ...]) -> Setup:
    """What is asked of the engine. llama.cpp divides layers among all GPUs that it sees; vLLM and SGLang divide every
    layer unless they are told otherwise, the others do as they are told."""
    ubatch = spec.flags.get("ubatch-size")
    share = spec.flags.get("gpu-memory-utilization", spec.flags.get("mem-fraction-static"))
    return Setup(
        engine=spec.engine,
        context=spec.context,
        seqs=spec.seqs,
        gpus=gpus,
        tensor=1 if spec.engine == _ON_CPU else _split(spec, _TENSOR, len(gpus) if _divides(spec) else 1),
        pipeline=len(gpus) if spec.engine == _ON_CPU else _split(spec, _PIPELINE, 1),
        kv_type=spec.kv_type,
        utilisation=_share(share) if isinstance(share, str) else None,
        ubatch=int(ubatch) if isinstance(ubatch, str) and ubatch.isdecimal() and 0 < len(ubatch) < 8 else None,
        flash_attention=spec.flags.get("flash-attn") != "off",
        flags=spec.flags,
    )


def _divides(spec: VariantSpec) -> bool:
    """Whether the number of GPUs is passed to the engine, which nobody told how to divide the model."""
    return spec.engine in _TELLING and not any(name in spec.flags for name in (*_TENSOR, *_PIPELINE, *_COPIES))


def _told(spec: VariantSpec) -> bool:
    return any(
        name in spec.flags for name in ("gpu-memory-utilization", "mem-fraction-static", "kv-cache-memory-bytes")
    )


def _split(spec: VariantSpec, names: tuple[str, ...], otherwise: int) -> int:
    text = next((value for name in names if isinstance(value := spec.flags.get(name), str)), "")
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 5 and int(text) else otherwise


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share <= 1 else None


def known_facts(model: ModelRef, home: Home) -> ModelFacts:
    """What a model holds, by its files, or by what the hub says of it as long as they are not here. Raises what `fit`
    raises for a model."""
    found = at_hand(model, home)
    if model.source != "hub" or (found is not None and model.files):
        return facts_of((found or model).path)
    return _learnt(
        model.repo, home, model.files[0].name if model.files and model.format == "gguf" else None, model.revision
    )


def facts_of(path: str) -> ModelFacts:
    """What a file or folder of this machine holds. Raises MODEL_NOT_FOUND and MODEL_LOAD_ERROR."""
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{path}` cannot be read: {error.strerror}.") from error
    return _read(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=8)
def _learnt(repo: str, home: Home, file: str | None, revision: str | None) -> ModelFacts:
    """What the hub says; asked once, since a form asks at every key. What it refuses is asked again."""
    return learn(repo, home, file, revision)


@lru_cache(maxsize=8)
def _read(path: str, _size: int, _changed: int) -> ModelFacts:
    """The facts of a file as it is now: a form asks at every key."""
    return from_folder(Path(path)) if Path(path).is_dir() else from_gguf(Path(path))
