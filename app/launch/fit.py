"""Whether a configuration fits this machine's memory, known before it is started: llama.cpp on the processor."""

import os
from dataclasses import dataclass
from pathlib import Path

from app.domain.failures import StokerError
from app.domain.variant import VariantSpec
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import Gpu
from app.domain.vram.setup import Estimate, Setup
from app.domain.vram.solve import largest_context
from app.launch.facts import ModelFacts
from app.launch.memory import ADDRESS_SPACE, PER_CORE
from app.launch.models import at_hand
from app.launch.traits import gguf_facts
from app.settings import Home

_ENGINE = "llama.cpp"


@dataclass(frozen=True, slots=True)
class Fit:
    """What one replica takes, and what there is: bytes of memory in all and available now.

    `limit` is the least of what is available and what a replica's own limit leaves for its buffers; `context` is the
    largest that fits there.
    """

    estimate: Estimate
    limit: int
    total: int
    context: int


def fit(spec: VariantSpec, home: Home) -> Fit | None:
    """How `spec` fits; None where that is not known: another engine or backend, or a model that is not here yet.

    Raises MODEL_LOAD_ERROR, ARCH_UNSUPPORTED or MODEL_NOT_FOUND for a file that cannot be understood, BAD_FLAG and
    CONFIG_INVALID for settings that cannot.
    """
    found = at_hand(spec.model, home)
    if spec.backend != "process" or spec.engine != _ENGINE or spec.model.format != "gguf" or found is None:
        return None
    facts = _facts(found.path)
    total, available = memory()
    limit = available
    if spec.memory_limit is not None:  # one of address space, of which the program maps more than it keeps
        limit = min(available, max(0, spec.memory_limit - ADDRESS_SPACE - PER_CORE * (os.cpu_count() or 1)))
    setup = _setup(spec, Gpu("this machine", limit, host=True))
    return Fit(
        estimate=estimate(facts.shape, facts.weights, setup),
        limit=limit,
        total=total,
        context=largest_context(facts.shape, facts.weights, setup) or 0,
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


def _setup(spec: VariantSpec, host: Gpu) -> Setup:
    ubatch = spec.flags.get("ubatch-size")
    return Setup(
        engine=_ENGINE,
        context=spec.context,
        seqs=spec.seqs,
        gpus=(host,),
        kv_type=spec.kv_type,
        ubatch=int(ubatch) if isinstance(ubatch, str) and ubatch.isdecimal() and 0 < len(ubatch) < 8 else None,
        flash_attention=spec.flags.get("flash-attn") != "off",
        flags=spec.flags,
    )


def _facts(path: str) -> ModelFacts:
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{path}` cannot be read: {error.strerror}.") from error
    return gguf_facts(path, facts.st_size, facts.st_mtime_ns)
