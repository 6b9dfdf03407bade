"""Backwards: the largest context, the most sequences, the quantisation and the layers that fit on given GPUs."""

from collections.abc import Callable
from dataclasses import replace

from app.domain.vram.estimate import estimate, is_close
from app.domain.vram.gpus import Gpu, larger_than
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Setup
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Weights, by_parameters

_STEP = 256
_MOST = 16_777_216
"""Longest context that is looked for where the model names none."""
_MOST_SEQS = 1_024
QUANTISATIONS = {
    "llama.cpp": ("f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m", "q2_k"),
    "vllm": ("bf16", "fp8", "awq"),
    "sglang": ("bf16", "fp8", "awq"),
    "transformers": ("bf16", "bnb-8bit", "bnb-4bit"),
}
"""What each engine serves, from the best to the smallest."""


def largest_context(shape: Shape, weights: Weights, setup: Setup) -> int | None:
    """The longest context that fits, up to the model's own; 0 if none does, None where no GPU is given.

    A multiple of 256, except for the model's own length. Everything else of `setup` stays.
    """
    if not setup.gpus:
        return None
    longest = shape.context or _MOST

    def fits(context: int) -> bool:
        return bool(estimate(shape, weights, replace(setup, context=context)).fits)

    if fits(longest):
        return longest
    return _most(lambda n: fits(n * _STEP), longest // _STEP) * _STEP


def most_sequences(shape: Shape, weights: Weights, setup: Setup) -> int | None:
    """How many requests of the context fit at once, 1,024 at most; 0 if none, None where no GPU is given.

    For engines that fill a room with their cache it is what the room holds; for llama.cpp and Transformers the slots.
    """
    if not setup.gpus:
        return None
    found = estimate(shape, weights, setup)
    if setup.engine in ("vllm", "sglang"):
        one = max(part.kv + part.state for part in found.per_gpu)
        room = min(part.kv_room for part in found.per_gpu)
        return min(_MOST_SEQS, room // one if one else _MOST_SEQS) if found.fits else 0
    return _most(lambda n: bool(estimate(shape, weights, replace(setup, seqs=n)).fits), _MOST_SEQS)


def most_layers(shape: Shape, weights: Weights, setup: Setup) -> int | None:
    """How many layers llama.cpp can keep on the GPUs (the head counts as one more); None where no GPU is given."""
    if not setup.gpus or setup.engine != "llama.cpp":
        return None

    def fits(layers: int) -> bool:
        flags = {**setup.flags, "n-gpu-layers": str(layers)}
        return bool(estimate(shape, weights, replace(setup, flags=flags)).fits)

    return _most(fits, len(shape.layers) + 1)


def best_quantisation(shape: Shape, setup: Setup) -> str | None:
    """The best form of the weights that fits as `setup` would be started; None if none does, or no GPU is given."""
    for name in QUANTISATIONS.get(setup.engine, ()) if setup.gpus else ():
        if estimate(shape, by_parameters(shape, quantisation(name)), setup).fits:
            return name
    return None


def larger_gpu(shape: Shape, weights: Weights, setup: Setup) -> Gpu | None:
    """The next larger kind of GPU, as many of them, on which it fits and is not close; None if there is none.

    Nor where no GPU is given: nothing is larger than a machine's own memory, or than one that GPU and system share.
    """
    gpu = setup.gpu(0)
    if gpu is None or gpu.host or gpu.unified:
        return None
    for larger in larger_than(gpu):
        asked = replace(setup, gpus=(larger,))
        found = estimate(shape, weights, asked)
        if found.fits and not is_close(found, asked):
            return larger
    return None


def _most(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that fits, 0 if 1 does not; what is larger never fits where less does not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
