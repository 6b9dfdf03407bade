"""What mends a want of memory: less of what takes it, or more of it."""

import math
import re
from dataclasses import replace

from app.domain.engines import CONTAINERS, gpu_choice
from app.domain.fitting import (
    CONTEXT_STEP,
    LEAST_CONTEXT,
    Memory,
    bytes_of,
    cheaper_caches,
    fewer_sequences,
    smaller_context,
)
from app.domain.fix import Fix, Options, Situation, flagged, option, resized
from app.domain.variant import FlagValue, VariantSpec


def for_memory(situation: Situation) -> Options:
    """What fits where memory ran out, from the engine's own words and the estimate."""
    if (said := _said_by_engine(situation)) is not None:
        yield from said
    if situation.memory is None:
        yield from _blind(situation)
        return
    spec, memory = situation.spec, situation.memory.after(situation.spec)
    if (less := smaller_context(spec, memory)) is not None:
        yield _sized(f"context {spec.context} → {less.context}", less, memory)
    for cheaper in cheaper_caches(spec, situation.kv_types):
        if memory.fits(cheaper):
            yield _sized(f"KV cache {cheaper.kv_type}", cheaper, memory, ", context unchanged")
            break
    else:
        yield from _cache_and_context(situation, memory, less)
    if (fewer := fewer_sequences(spec, memory)) is not None:
        yield _sized(f"{spec.seqs} sequences at once → {fewer.seqs}", fewer, memory, ", context unchanged")
    yield from _another_gpu(situation, memory)
    yield from _smaller_models(situation, memory)
    yield from _more_memory(spec, memory)


def _cache_and_context(situation: Situation, memory: Memory, less: VariantSpec | None) -> Options:
    """Both at once, where that keeps more context than less context alone."""
    for cheaper in cheaper_caches(situation.spec, situation.kv_types):
        both = smaller_context(cheaper, memory)
        if both is not None and (less is None or both.context > less.context):
            yield _sized(f"KV cache {both.kv_type} and context {situation.spec.context} → {both.context}", both, memory)
            return


def _another_gpu(situation: Situation, memory: Memory) -> Options:
    """The GPU with the most room for it as it is. A process of llama.cpp is put there by its own flags, a container is
    given that one instead of its own."""
    spec, needed = situation.spec, memory.needed(situation.spec)
    now = _card_of(spec, memory)
    others = [card for card in situation.cards if card.index != now and card.free >= (needed or 0)]
    if needed is None or now is None or not others:
        return
    best = max(others, key=lambda card: card.free)
    if spec.backend == CONTAINERS:
        moved = replace(spec, gpus=str(best.index))
    else:
        moved = flagged(spec, {"split-mode": "none", "main-gpu": str(best.index)})
    yield option(f"move to GPU {best.index}", f"needs {bytes_of(needed, best.free)} free there", moved)


def _card_of(spec: VariantSpec, memory: Memory) -> int | None:
    """The only GPU that it uses, by its number on the host; None where it uses several, or that is not known."""
    if spec.backend == CONTAINERS:
        indexes, _ = gpu_choice(spec.gpus)
        return int(indexes[0]) if len(indexes) == 1 and indexes[0].isdecimal() else None
    return memory.card if spec.engine == "llama.cpp" else None


def _smaller_models(situation: Situation, memory: Memory) -> Options:
    size = situation.spec.model.size or 0
    for model in sorted(situation.siblings, key=lambda m: m.size or 0, reverse=True):
        smaller = replace(situation.spec, model=model)
        if model.size is not None and model.size < size and memory.fits(smaller):
            yield _sized(f"model {model.name}", smaller, memory, ", a smaller quantisation")
            return


def _more_memory(spec: VariantSpec, memory: Memory) -> Options:
    needed = memory.needed(spec)
    if spec.memory_limit is None or needed is None:
        return
    limit = math.ceil(max(needed, spec.memory_limit + 1) / 2**26) * 2**26
    title = f"memory {spec.memory_limit / 2**20:,.0f} → {limit / 2**20:,.0f} MiB"
    yield option(title, f"needs {bytes_of(needed, limit)}, all else unchanged", replace(spec, memory_limit=limit))


def _blind(situation: Situation) -> Options:
    """Without an estimate: half of what costs most, and said so."""
    spec = situation.spec
    half = spec.context // 2 // CONTEXT_STEP * CONTEXT_STEP
    if half >= LEAST_CONTEXT:
        yield option(
            f"context {spec.context} → {half}",
            "half of it: nothing is known to compute with",
            resized(spec, context=half),
        )
    for cheaper in cheaper_caches(spec, situation.kv_types):
        yield option(f"KV cache {cheaper.kv_type}", "context unchanged; nothing is known to compute with", cheaper)
        break
    if spec.memory_limit is not None:
        title = f"memory {spec.memory_limit / 2**20:,.0f} → {spec.memory_limit / 2**19:,.0f} MiB"
        yield option(
            title, "twice as much; nothing is known to compute with", resized(spec, memory_limit=2 * spec.memory_limit)
        )


_FREE_OF = re.compile(r"Free memory on device.*?\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\)")
_LARGEST = re.compile(r"estimated maximum model length is (?P<limit>\d+)")
_MOST_TOKENS = re.compile(r"stored in KV cache \((?P<limit>\d+)\)")


def _said_by_engine(situation: Situation) -> Options | None:
    """What vLLM's own words come to: it names the largest context, or how much memory there is to be had."""
    return iter(list(_vllm(situation))) if situation.spec.engine in ("vllm", "sglang") else None


def _vllm(situation: Situation) -> Options:
    spec = situation.spec
    said = _LARGEST.search(situation.evidence) or _MOST_TOKENS.search(situation.evidence)
    limit = int(said["limit"]) // CONTEXT_STEP * CONTEXT_STEP if said else 0
    if LEAST_CONTEXT <= limit < spec.context:
        yield option(
            f"context {spec.context} → {limit}",
            "the most that the engine says it can hold",
            resized(spec, context=limit),
        )
    free = _FREE_OF.search(situation.evidence)
    flag = "gpu-memory-utilization" if spec.engine == "vllm" else "mem-fraction-static"
    now = _number(spec.flags.get(flag), spec.share or 0.9)
    if free is not None and float(free["total"]) > 0:
        share = math.floor(float(free["free"]) / float(free["total"]) * 100 - 1) / 100
        if 0.1 <= share < now:
            text = f"{free['free']} of {free['total']} GiB are free"
            yield option(f"{flag} {now} → {share}", text, flagged(spec, {flag: str(share)}))
    eager = "enforce-eager" if spec.engine == "vllm" else "disable-cuda-graph"
    if eager not in spec.flags:
        yield option(f"{eager}", "no CUDA graphs: saves their memory, costs some speed", flagged(spec, {eager: True}))


def _sized(title: str, spec: VariantSpec, memory: Memory, more: str = "") -> Fix:
    needed = memory.needed(spec) or 0
    return Fix(0, title, f"needs {bytes_of(needed, memory.room)} {memory.called}{more}", spec)


def _number(value: FlagValue | None, otherwise: float) -> float:
    try:
        return float(value) if isinstance(value, str) else otherwise
    except ValueError:
        return otherwise
