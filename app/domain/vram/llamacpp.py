"""llama.cpp: buffers of the model, the cache, recurrent states and one graph, each as large as it will ever be.

Rules of placement are `src/llama-model.cpp`, of the cache `src/llama-kv-cache*.cpp`, of states `src/llama-hparams.cpp`.
The graph's buffer is what lives at once in its largest phase: the feed-forward (three tensors of its width and of the
model's), attention (its mask, and a cache of small numbers made 16 bits wide), a mixture whose experts wait in host
memory (two tensors of one layer brought over), a linear layer (its convolution, two copies of the states), the head.
"""

from bisect import bisect_right
from dataclasses import dataclass

from app.domain.vram.cache import Bits, state_bytes, token_bytes
from app.domain.vram.gpus import MIB, Gpu
from app.domain.vram.quants import cache_bits
from app.domain.vram.setup import Component, Setup, claimed
from app.domain.vram.shape import Layer, Shape
from app.domain.vram.weights import LayerWeights, Weights

UBATCH = 512
_PAD = 256
_COPIES = 4
"""A split by layers keeps this many copies of its inputs, so that stages may overlap."""
_PROGRAM = 40 * MIB
"""Resident memory of the program and its libraries outside all buffers: 35 to 42 MiB were seen on Linux."""
_CONTEXT = 46 * MIB
_CONTEXT_PER_UNIT = int(3.2 * MIB)
"""A CUDA context outside all buffers: a line through the GTX 1660 SUPER, the RTX 3060 and the RTX 4090."""


@dataclass(frozen=True, slots=True)
class _Share:
    """What one GPU takes of the model: indices of its layers, and its part of each."""

    layers: list[int]
    part: float
    head: bool


def components(shape: Shape, weights: Weights, setup: Setup) -> tuple[list[Component], float, int, int]:
    """Per GPU, bytes a token over one sequence, tokens that the cache holds, and bytes that stay with the host."""
    bits = cache_bits("f16" if setup.kv_type == "auto" else setup.kv_type)
    offloaded = _offloaded(setup, len(shape.layers))
    on_host = experts_on_host(shape, setup)
    parts: list[Component] = []
    host = _left_behind(shape, weights, offloaded, on_host, setup)
    for rank, share in enumerate(_shares(shape, setup, offloaded)):
        kv, state = _cache(shape, share, bits, setup), _states(shape, share, setup)
        size = sum(_placed(weights.layers[i], i < on_host) for i in share.layers) * share.part
        if share.head:
            size += (weights.embedding if shape.tied else weights.head) * share.part
        if on_cpu(setup):
            size = weights.total
        graph = _graph(shape, weights, share, bits, setup)
        outside = _context(setup.gpu(rank))
        parts.append(claimed(Component(int(size), int(kv), int(state), int(graph), outside)))
    slots = setup.seqs or 1
    per_token = max((part.kv for part in parts), default=0) / max(1, cells(setup) * slots)
    return parts, per_token, cells(setup) * slots, int(host)


def on_cpu(setup: Setup) -> bool:
    """Whether everything is in host memory, where nothing is kept twice."""
    gpu = setup.gpu(0)
    return gpu is not None and gpu.host


def cells(setup: Setup) -> int:
    """Tokens that the cache of one slot holds: the context, up to a multiple of 256."""
    return -(-setup.context // _PAD) * _PAD


def _offloaded(setup: Setup, layers: int) -> int:
    """Units on GPUs: the last layers, and the head as one more."""
    wanted = setup.number("n-gpu-layers", setup.number("gpu-layers", layers + 1))
    return min(wanted, layers + 1)


def _shares(shape: Shape, setup: Setup, offloaded: int) -> list[_Share]:
    """A split by tensors gives every GPU a part of each layer; one by layers gives it whole ones, in equal portions."""
    count = len(shape.layers)
    start = count + 1 - offloaded
    head = offloaded > count
    if setup.tensor > 1:
        return [_Share(list(range(start, count)), 1 / setup.tensor, head) for _ in range(setup.tensor)]
    ends = [(i + 1) / setup.pipeline for i in range(setup.pipeline)]
    owner = {unit: bisect_right(ends, (unit - start) / max(1, offloaded)) for unit in range(start, count + 1)}
    return [
        _Share([i for i in range(start, count) if owner[i] == rank], 1.0, head and owner.get(count) == rank)
        for rank in range(setup.pipeline)
    ]


def experts_on_host(shape: Shape, setup: Setup) -> int:
    """Of how many layers, from the first, the experts stay in host memory."""
    return len(shape.layers) if setup.on("cpu-moe") else setup.number("n-cpu-moe", 0)


def _placed(layer: LayerWeights, experts_on_host: bool) -> float:
    return layer.total - (layer.experts if experts_on_host else 0)


def _left_behind(shape: Shape, weights: Weights, offloaded: int, on_host: int, setup: Setup) -> float:
    """Bytes in host memory: the embedding always, what is not offloaded, and experts that are kept there."""
    if on_cpu(setup):
        return 0.0
    start = len(shape.layers) + 1 - offloaded
    size = weights.embedding + (0 if offloaded > len(shape.layers) or shape.tied else weights.head) + weights.extra
    size += sum(layer.total for layer in weights.layers[: max(0, start)])
    return size + sum(layer.experts for layer in weights.layers[max(0, start) : on_host])


def slides(shape: Shape) -> bool:
    """Whether windows are used: llama.cpp does so only where they are mixed with full layers."""
    return any(layer.key and layer.window is None for layer in shape.layers)


def _cache(shape: Shape, share: _Share, bits: Bits, setup: Setup) -> float:
    slots = setup.seqs or 1
    full = cells(setup) * slots
    unified = setup.on("kv-unified")
    if not shape.causal or setup.on("no-kv-offload"):
        return 0.0
    size = 0.0
    for index in share.layers:
        layer = shape.layers[index]
        held = full
        if layer.window is not None and slides(shape) and not setup.on("swa-full"):
            width = layer.window * (slots if unified else 1) + (setup.ubatch or UBATCH)
            limit = full if unified else cells(setup)
            held = min(limit, -(-width // _PAD) * _PAD) * (1 if unified else slots)
        size += held * _layer_bytes(layer, bits, setup) * share.part
    return size


def _layer_bytes(layer: Layer, bits: Bits, setup: Setup) -> float:
    """Bytes a token. Without latent attention (`mla-attn` 0, and files made before it) keys and values are whole."""
    if layer.latent and setup.flags.get("mla-attn") == "0":
        return (layer.full_key * bits[0] + layer.full_value * bits[1]) / 8
    return layer.key * bits[0] / 8 if layer.latent else token_bytes(layer, bits, 1)


def _states(shape: Shape, share: _Share, setup: Setup) -> float:
    slots = setup.seqs or 1
    return sum(state_bytes(shape.layers[i], 32, 32, 1) for i in share.layers) * slots * share.part


def _graph(shape: Shape, weights: Weights, share: _Share, bits: Bits, setup: Setup) -> float:
    """Bytes of the graph's buffer for a batch of `ubatch` tokens of one sequence."""
    tokens = min(setup.ubatch or setup.number("ubatch-size", UBATCH), cells(setup))
    slots = setup.seqs or 1
    copies = _COPIES if setup.pipeline > 1 and setup.tensor == 1 else 1
    width, held = shape.width * 4, cells(setup)
    attends = any(shape.layers[i].key for i in share.layers)
    mask = tokens * held * (2 if setup.flash_attention else 4) * copies if attends else 0
    phases: list[float] = [3 * tokens * (max(shape.inner, shape.experts_used * shape.expert_inner) * 4 + width)]
    if setup.flash_attention:
        layers = [shape.layers[i] for i in share.layers]
        unpacked = max((_unpacked(layer, bits, setup) for layer in layers), default=0) * held * slots
        reach = max(((layer.key if layer.latent else shape.head_dim) for layer in layers), default=0)
        phases.append(unpacked + 4 * tokens * max(width, shape.heads * reach * 4))
    else:
        phases.append(tokens * (held * shape.heads * 4 + 4 * width))
    states = max((shape.layers[i].state for i in share.layers), default=0)
    if states:
        conv = max(shape.layers[i].conv for i in share.layers)
        phases.append(2 * slots * states * 4 + tokens * conv * 4)
    if any(weights.layers[i].experts for i in share.layers if i < experts_on_host(shape, setup)):
        brought = 2 * max(layer.experts for layer in weights.layers) / 3
        phases.append(brought + tokens * (2 * shape.experts_used * shape.expert_inner * 4 + 2 * width))
    phases.append(max(1, slots) * (shape.vocabulary * 4 + width) + 2 * tokens * width)
    inputs = 2 if on_cpu(setup) else copies if copies > 1 else 0
    return mask + max(phases) + inputs * tokens * width


def _unpacked(layer: Layer, bits: Bits, setup: Setup) -> float:
    """Bytes a token that flash attention takes for a cache that is not of 16 bits; a processor reads small ones."""
    wrong = [size for size, kind in ((layer.key, bits[0]), (layer.value, bits[1])) if kind != 16]
    return 0.0 if on_cpu(setup) and max(bits) <= 16 else 2.0 * sum(wrong)


def _context(gpu: Gpu | None) -> int:
    if gpu is not None and gpu.host:
        return _PROGRAM
    return _CONTEXT + _CONTEXT_PER_UNIT * (gpu.units if gpu is not None else 108)
