"""The estimate of one configuration: components by engine, whether it fits, and how far it may be off."""

from dataclasses import replace

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.vram import llamacpp, others, vllm
from app.domain.vram.learning import Lesson, learn
from app.domain.vram.setup import SHARES, Component, Estimate, Setup
from app.domain.vram.shape import Shape
from app.domain.vram.weights import LayerWeights, Weights, by_parameters

ENGINES = ("llama.cpp", "vllm", "sglang", "transformers")

# How far each part may be off, by where the weights come from; the rest by what engines were seen to differ in.
_WEIGHTS_OFF = {"headers": 0.01, "given": 0.015, "params": 0.02}
_QUANTISED_OFF = 0.12
_KV_OFF = 0.01
_ACTIVATION_OFF = 0.3
_OVERHEAD_OFF = 0.5
# Two starts of one configuration: vLLM's rooms differ by 0.2 %, llama.cpp's buffers not at all. What is beside them, by
# how far contexts of one kind of GPU (130 to 140 MiB, 451 to 456) and programs (35 to 42 MiB) lie apart.
_MEASURED_OFF = 0.01
_BESIDE_OFF = 0.1


def estimate(shape: Shape, weights: Weights, setup: Setup) -> Estimate:
    """What `shape` with `weights` takes as `setup` would start it; an estimate, corrected by what was measured here.

    Raises CONFIG_INVALID for an engine that is not known, or a split that cannot be.
    """
    check(shape, setup)
    shape, weights = _speculating(shape, weights, setup)
    formula, per_token, tokens, host = _parts(shape, weights, setup)
    lesson = learn(formula, shape, weights, setup)
    parts = lesson.parts
    room, before = (min(part.kv_room for part in each) for each in (parts, formula))
    why = _what_fails(parts, setup)
    error = _error(lesson, weights)
    total = sum(part.total for part in parts)
    return Estimate(
        per_gpu=tuple(parts),
        host=host,
        kv_bytes_per_token=round(per_token),
        kv_tokens=tokens
        if room == before or setup.engine not in SHARES
        else int(tokens * max(0, room) / max(1, before)),
        fits=None if not setup.gpus else not why,
        band=(max(0, total - error), total + error),
        basis=weights.basis,
        why=why,
        learnt=lesson.learnt,
    )


def is_close(found: Estimate, setup: Setup) -> bool:
    """Whether it fits, and some GPU's share of the band's upper edge passes what may be taken there."""
    factor = found.band[1] / max(1, found.total)
    rooms = [(part.total, setup.gpu(rank)) for rank, part in enumerate(found.per_gpu)]
    return bool(found.fits) and any(gpu is not None and total * factor > gpu.room for total, gpu in rooms)


def check(shape: Shape, setup: Setup) -> None:
    """Raise CONFIG_INVALID if `setup` cannot be."""
    if setup.engine not in ENGINES:
        known = ", ".join(ENGINES)
        raise StokerError("CONFIG_INVALID", f"`{safe(setup.engine, 40)}` cannot be estimated.", f"Known: {known}.")
    if setup.pipeline > len(shape.layers):
        raise StokerError(
            "CONFIG_INVALID", f"{len(shape.layers)} layers cannot be split over {setup.pipeline} GPUs.", "Lower --pp."
        )
    if setup.tensor > 1 and shape.heads and shape.heads % setup.tensor and setup.engine != "llama.cpp":
        raise StokerError(
            "CONFIG_INVALID",
            f"{shape.heads} attention heads cannot be split over {setup.tensor} GPUs.",
            f"Give --tp a divisor of {shape.heads}.",
        )


def _speculating(shape: Shape, weights: Weights, setup: Setup) -> tuple[Shape, Weights]:
    """The model with the layers that only speculate, where the engine is told to use them; given bytes hold them."""
    if not shape.draft or not setup.number("num-speculative-tokens", 0):
        return shape, weights
    drafted = by_parameters(replace(shape, layers=shape.draft)).layers
    if weights.basis == "given":
        drafted = (LayerWeights(),) * len(drafted)
    return replace(shape, layers=shape.layers + shape.draft), replace(weights, layers=weights.layers + drafted)


def _parts(shape: Shape, weights: Weights, setup: Setup) -> tuple[list[Component], float, int, int]:
    if setup.engine == "llama.cpp":
        return llamacpp.components(shape, weights, setup)
    split = {"vllm": vllm.components, "sglang": others.sglang, "transformers": others.transformers}[setup.engine]
    return (*split(shape, weights, setup), 0)


def _what_fails(parts: list[Component], setup: Setup) -> str:
    """Why it does not fit, in words; empty if it does, or if nothing is known of the GPUs."""
    for rank, part in enumerate(parts):
        gpu = setup.gpu(rank)
        if gpu is None:
            return ""
        where = f"GPU {rank}" if len(parts) > 1 else gpu.name
        if part.total > gpu.room:
            return f"{where} has {_gib(gpu.room)} GiB for {_gib(part.total)} GiB"
        if setup.engine in SHARES and part.kv_room < part.kv + part.state:
            room = "no room" if part.kv_room <= 0 else f"{_gib(part.kv_room)} GiB"
            return f"{where} leaves {room} for a cache of {_gib(part.kv + part.state)} GiB"
        if setup.engine == "vllm" and part.reserved > gpu.room:
            return f"{where} has {_gib(gpu.room)} GiB free of the {_gib(part.reserved)} GiB that vLLM would claim"
    return ""


def _error(lesson: Lesson, weights: Weights) -> int:
    """Bytes by which the sum may be off: each part's own share, taken to err on the same side."""
    off = _WEIGHTS_OFF[weights.basis]
    if weights.basis == "params" and weights.quantisation not in ("bf16", "f16", "f32"):
        off = _QUANTISED_OFF
    shares = {"weights": off, "kv": _KV_OFF, "state": _KV_OFF, "activation": _ACTIVATION_OFF, "overhead": _OVERHEAD_OFF}
    shares |= dict.fromkeys(lesson.known, _MEASURED_OFF)
    if "overhead" in lesson.known:
        shares["overhead"] = _BESIDE_OFF
    return int(sum(getattr(part, name) * share for part in lesson.parts for name, share in shares.items()))


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
