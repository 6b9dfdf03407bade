"""vLLM: it claims a share of the whole card and fills what weights and activations leave with its cache.

The layout of the cache is `v1/core/kv_cache_utils.py`, the profile `v1/worker/gpu_worker.py`. The profile runs a batch
of the most tokens, then samples for the most sequences: the larger of the two is the activation. Bytes a token of the
first are those that its buffers have (a gated feed-forward of three, the residual stream of three); bytes a number of
the second are what sorting logits takes, 38.25 fitted to five runs of two vocabularies, 15 since version 0.21.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.vram.cache import Bits, state_bytes, token_bytes
from app.domain.vram.gpus import GIB, MIB
from app.domain.vram.quants import cache_bits
from app.domain.vram.setup import Component, Setup
from app.domain.vram.shape import Layer, Shape
from app.domain.vram.weights import Weights

UTILISATION = 0.9
_BLOCK = 16
_SORTED = 38.25
_SAMPLED = 15.0
_GRAPHS = GIB // 2
_GRAPHS_COUNTED = (0, 21)
_CHUNKED = (0, 8)
_WHOLE_PROMPT = 32_768
_CONTEXT = 100 * MIB
_PER_PEER = 250 * MIB


@dataclass(frozen=True, slots=True)
class Cached:
    """What one sequence takes on one GPU, and how many tokens a room holds."""

    kv: float
    state: float
    per_token: float
    block: float
    groups: int
    block_tokens: int

    def tokens(self, room: float, context: int) -> int:
        """Tokens that `room` bytes hold; with states, as many sequences of `context` as fit."""
        if room <= 0 or not self.block:
            return 0
        if self.state:
            return int(room / (self.kv + self.state) * context)
        return int(room / self.block) // self.groups * self.block_tokens


def components(shape: Shape, weights: Weights, setup: Setup) -> tuple[list[Component], float, int]:
    """Per GPU, bytes a token over one sequence, and tokens that the rank with the least room holds."""
    bits = cache_bits(setup.kv_type)
    parts: list[Component] = []
    least, per_token = None, 0.0
    for stage, layers in enumerate(stages(len(shape.layers), setup.pipeline)):
        held = sequence(shape, [shape.layers[i] for i in layers], bits, setup)
        size = loaded(weights, layers, setup, stage, shape)
        for _ in range(setup.tensor):
            part, tokens = _rank(shape, setup, held, size, len(parts))
            parts.append(part)
            least = tokens if least is None else min(least, tokens)
        per_token = max(per_token, held.per_token)
    return parts, per_token, least or 0


def stages(layers: int, pipeline: int) -> list[range]:
    """Layers of each stage; those left over go to the stages before the last, from its side."""
    sizes = [layers // pipeline] * pipeline
    for i in range(layers % pipeline):
        sizes[-(i + 2)] += 1
    ends = [sum(sizes[: i + 1]) for i in range(pipeline)]
    return [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def sequence(shape: Shape, layers: Sequence[Layer], bits: Bits, setup: Setup) -> Cached:
    """What one sequence of the context takes: layers are grouped by kind into equal groups, the rest is padded."""
    if not shape.causal:
        return Cached(0.0, 0.0, 0.0, 0.0, 1, _BLOCK)
    full = [layer for layer in layers if layer.key and layer.window is None]
    window = [layer for layer in layers if layer.key and layer.window is not None]
    states = [state_bytes(layer, 16, shape.state_bits, setup.tensor) for layer in layers if layer.state or layer.conv]
    page = max((token_bytes(layer, bits, setup.tensor) for layer in (*full, *window)), default=0.0)
    counts = [n for n in (len(full), len(window), len(states)) if n]
    size = min(counts, default=1)
    if max(counts, default=1) < 1.25 * size:
        size = max(counts, default=1)
    groups = sum(-(-n // size) for n in counts) or 1
    if not page:  # states alone
        return Cached(0.0, sum(states), 0.0, 0.0, 1, _BLOCK)
    block_tokens = max(_BLOCK, _BLOCK * math.ceil(max(states, default=0.0) / page / _BLOCK))
    block = page * block_tokens * size
    held = -(-len(full) // size) * -(-setup.context // block_tokens)
    if window:
        width = min(layer.window or 0 for layer in window) - 1 + batch_tokens(setup)
        held += -(-len(window) // size) * (-(-min(width, setup.context) // block_tokens) + (width < setup.context))
    uneven = len(counts) > 1
    kv = held * block if uneven else held / size * block / -(-max(counts) // size) * max(counts)
    state = -(-len(states) // size) * block if states else 0.0
    if not uneven:
        block, groups = page * block_tokens * max(counts), 1
    return Cached(kv, state, kv / max(1, -(-setup.context // block_tokens) * block_tokens), block, groups, block_tokens)


def batch_tokens(setup: Setup) -> int:
    """Most tokens of a batch: 8192 on large cards, 2048 on others; versions before 0.8 took a whole prompt at once.

    Where the version is not known, a card that is not large is taken to do as those, which is the safe side.
    """
    if setup.batch_tokens is not None:
        return setup.batch_tokens
    gpu = setup.gpu(0)
    if gpu is None or gpu.server:
        return 8_192
    old = setup.version < _CHUNKED
    return max(2_048, setup.context) if old and setup.context <= _WHOLE_PROMPT else 2_048


def sequences(setup: Setup) -> int:
    """Most sequences of a batch: 1024 on large cards, else 256."""
    gpu = setup.gpu(0)
    return setup.seqs or (1_024 if gpu is None or gpu.server else 256)


def activation(shape: Shape, setup: Setup) -> float:
    """Peak bytes of the profile on each rank."""
    tokens = batch_tokens(setup)
    each = _SAMPLED if setup.version >= _GRAPHS_COUNTED else _SORTED
    sampled = min(sequences(setup), tokens) * shape.vocabulary * each + 1.25 * tokens * shape.width * 2
    return max(forward(shape, setup.tensor, tokens), sampled if shape.causal else 0.0)


def forward(shape: Shape, tensor: int, tokens: int) -> float:
    """Bytes that live at once while a batch of `tokens` passes the widest layer, in 16 bits."""
    inner = 3 * shape.inner / tensor
    if shape.experts:
        inner = max(inner, shape.experts_used * (3 * shape.expert_inner / tensor + shape.width))
    return tokens * (inner + 3 * shape.width) * 2


def loaded(weights: Weights, layers: range, setup: Setup, stage: int, shape: Shape) -> float:
    """Bytes of weights on each rank of a stage: the first has the embedding, the last the head."""
    first, last = stage == 0, stage == setup.pipeline - 1
    size = weights.extra
    for index in layers:
        layer, heads = weights.layers[index], max(1, shape.layers[index].kv_heads)
        size += (layer.divided + layer.experts) / setup.tensor + layer.fixed
        size += layer.caches / min(setup.tensor, heads)
    if first or (last and shape.tied):
        size += weights.embedding / setup.tensor
    if last:
        size += weights.head / setup.tensor
    return size


def _rank(shape: Shape, setup: Setup, held: Cached, size: float, rank: int) -> tuple[Component, int]:
    gpu = setup.gpu(rank)
    peak = activation(shape, setup)
    size = max(0.0, size - setup.number("cpu-offload-gb", 0) * GIB)
    outside = _CONTEXT + _PER_PEER * (setup.tensor - 1)
    graphs = 0 if setup.on("enforce-eager") or not shape.causal else _GRAPHS
    need = Component(int(size), int(held.kv), int(held.state), int(peak), int(outside + graphs))
    counted = outside + (graphs if setup.version >= _GRAPHS_COUNTED else 0)
    if gpu is None:
        reserved, room = need.total, float(need.kv + need.state)
    else:
        share = UTILISATION if setup.utilisation is None else setup.utilisation
        reserved = int(gpu.total * share)
        room = reserved - size - peak - counted
    fixed = setup.number("kv-cache-memory-bytes", 0)
    if fixed:
        reserved, room = int(size + peak + counted + fixed), float(fixed)
    part = Component(need.weights, need.kv, need.state, need.activation, need.overhead, reserved, int(room))
    return part, held.tokens(room, setup.context)
