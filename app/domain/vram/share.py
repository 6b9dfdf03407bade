"""How much of a GPU an engine has to be given that claims a share of it whatever it needs: as much as is needed."""

import math

from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB
from app.domain.vram.setup import Component, Setup
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Weights

_SLACK = 0.01
"""Of what is free, this much is left: two looks at a GPU never show quite the same."""
_HIGHEST = 0.95
"""Graphs, libraries and other ranks take something beside every share; more is claimed only where one sequence needs it
(vLLM's own default is 0.9, its documentation goes to 0.95)."""
_SPARE = GIB
"""Kernels are loaded as they are used, so the runtime grows; this much more is claimed where there is room for it."""
_FINEST = 1_000
"""Shares are given in thousandths."""


def share_of(shape: Shape, weights: Weights, setup: Setup) -> tuple[float, float] | None:
    """The share for `setup` that holds all its sequences at once, or as much of that as is free; and the most there is.

    It is reckoned with the upper edge of what is estimated: an engine that is given too little does not start.

    Never less than one sequence needs: where that is more than is free, it does not fit, which the estimate with this
    share says. None where no GPU is given, or for an engine that claims what it needs.

    vLLM counts all of the card, and what it does not count it takes beside its share (`v1/worker/gpu_worker.py`). Of
    SGLang's share only weights and cache are taken; the rest lives beside it (`model_runner_kv_cache_mixin.py`).
    """
    if not setup.gpus or setup.engine not in ("vllm", "sglang"):
        return None
    wanted = most = least = 0.0
    found = estimate(shape, weights, setup)
    upper = found.band[1] / max(1, found.total)
    for rank, part in enumerate(found.per_gpu):
        gpu = setup.gpu(rank)
        if gpu is None:
            return None
        inside, beside, whole = _counted(part, setup, gpu.total)
        cache = part.kv + part.state
        room = min(_HIGHEST, (gpu.room * (1 - _SLACK) - beside) / whole)
        least = max(least, (inside + cache) / whole)
        wanted = max(wanted, (inside * upper + cache * (setup.seqs or 1) + _SPARE) / whole)
        most = room if not most else min(most, room)
    top = min(1.0, max(math.floor(most * _FINEST), math.ceil(least * _FINEST)) / _FINEST)
    return min(top, math.ceil(wanted * _FINEST) / _FINEST), top


def _counted(part: Component, setup: Setup, total: int) -> tuple[int, int, int]:
    """Bytes beside the cache that the share has to hold, bytes that are taken beside it, and what it is a share of."""
    if setup.engine == "sglang":
        return part.weights, part.activation + part.overhead, total
    # Its graphs are counted or not, by version: both ways they are room that must be there.
    return part.weights + part.activation + part.overhead, part.overhead, total
