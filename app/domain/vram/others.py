"""SGLang, which takes a share of the card for weights and cache, and Transformers, which takes what it needs.

SGLang's share, chunk and graphs are the defaults of `server_args.py`; its cache is what the share leaves beside the
weights (`model_runner_components/kv_pool_runtime.py`), activations and graphs live outside the share.
"""

from app.domain.vram import vllm
from app.domain.vram.cache import cached, state_bytes
from app.domain.vram.gpus import GIB, MIB, Gpu
from app.domain.vram.quants import cache_bits
from app.domain.vram.setup import Component, Setup, claimed
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Weights

_CONTEXT = 400 * MIB
_LIBRARIES = 100 * MIB
"""What cuBLAS keeps for itself."""


def sglang(shape: Shape, weights: Weights, setup: Setup) -> tuple[list[Component], float, int]:
    """Per GPU, bytes a token over one sequence, and tokens that the rank with the least room holds."""
    bits, least, per_token = cache_bits(setup.kv_type), None, 0.0
    parts: list[Component] = []
    for stage, layers in enumerate(vllm.stages(len(shape.layers), setup.pipeline)):
        mine = [shape.layers[i] for i in layers]
        one = cached(mine, bits, setup.tensor, setup.context)
        state = sum(state_bytes(layer, 16, shape.state_bits, setup.tensor) for layer in mine)
        loaded = vllm.loaded(weights, layers, setup, stage, shape)
        for _ in range(setup.tensor):
            part = _static(shape, setup, int(loaded), int(one), int(state), setup.gpu(len(parts)))
            tokens = int(max(0, part.kv_room - part.state) / one * setup.context) if one else 0
            parts.append(part)
            least = tokens if least is None else min(least, tokens)
        per_token = max(per_token, one / setup.context)
    return parts, per_token, least or 0


def _static(shape: Shape, setup: Setup, loaded: int, one: int, state: int, gpu: Gpu | None) -> Component:
    chunk, graphs, share = _defaults(setup, gpu)
    peak = int(vllm.forward(shape, setup.tensor, chunk))
    outside = _CONTEXT + graphs * 2 * MIB
    need = Component(loaded, one, state, peak, outside)
    if gpu is None:
        return Component(loaded, one, state, peak, outside, need.total, one + state)
    room = int((gpu.total - _CONTEXT) * share) - loaded
    return Component(loaded, one, state, peak, outside, loaded + max(0, room) + peak + outside, room)


def _defaults(setup: Setup, gpu: Gpu | None) -> tuple[int, int, float]:
    """Tokens of a chunk, the largest batch of a graph, and the share of the card, by its memory in GiB."""
    gib = 80.0 if gpu is None else gpu.total / GIB
    rows = ((20, 2_048, 8), (35, 2_048, 24), (60, 4_096, 32), (90, 8_192, 256), (160, 8_192, 256), (1e9, 16_384, 512))
    chunk, graphs = next((chunk, graphs) for size, chunk, graphs in rows if gib < size)
    chunk = setup.batch_tokens or setup.number("chunked-prefill-size", chunk)
    kept = 512 + 1.5 * max(chunk, 2_048) + 2 * graphs + setup.count / 8 * 1_024
    kept = max(kept, 10 * 1_024) if gib > 60 else kept
    share = 1 - kept / (gib * 1_024) if setup.utilisation is None else setup.utilisation
    return chunk, 0 if setup.on("disable-cuda-graph") else graphs, share


def transformers(shape: Shape, weights: Weights, setup: Setup) -> tuple[list[Component], float, int]:
    """Per GPU, bytes a token over one sequence, and tokens that it would hold: a prompt is read in one go."""
    bits = cache_bits(setup.kv_type)
    slots = setup.seqs or 1
    parts: list[Component] = []
    per_token = 0.0
    for stage, layers in enumerate(vllm.stages(len(shape.layers), setup.pipeline)):
        mine = [shape.layers[i] for i in layers] if shape.causal else []
        one = cached(mine, bits, setup.tensor, setup.context)
        state = sum(state_bytes(layer, 16, shape.state_bits, setup.tensor) for layer in mine)
        loaded = vllm.loaded(weights, layers, setup, stage, shape)
        peak = vllm.forward(shape, setup.tensor, setup.context * slots) + slots * shape.vocabulary * 4
        need = Component(int(loaded), int(one * slots), int(state * slots), int(peak), _CONTEXT + _LIBRARIES)
        parts += [claimed(need)] * setup.tensor
        per_token = max(per_token, one / setup.context)
    return parts, per_token, setup.context * slots
