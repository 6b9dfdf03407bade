"""What one GPU keeps of a sequence: cached keys and values, and states whose size does not depend on its length."""

from collections.abc import Sequence

from app.domain.vram.shape import Layer

Bits = tuple[float, float]
_INDEXED_FP8 = 656
"""Bytes of a latent vector in DeepSeek's 8-bit form for sparse attention: 512 numbers, 4 scales, 64 in 16 bits."""


def token_bytes(layer: Layer, bits: Bits, tensor: int) -> float:
    """Bytes that `layer` caches for one token on each of `tensor` ranks; a head is never cut, only repeated."""
    if layer.latent:
        if layer.index and bits[0] == 8.0:
            return float(_INDEXED_FP8 + layer.index)
        return layer.key * bits[0] / 8 + layer.index
    if not layer.kv_heads:
        return 0.0
    heads = max(1, -(-layer.kv_heads // tensor))
    return (layer.key * bits[0] + layer.value * bits[1]) / 8 * heads / layer.kv_heads


def state_bytes(layer: Layer, conv_bits: int, state_bits: int, tensor: int) -> float:
    """Bytes of the state that `layer` keeps for one sequence on each of `tensor` ranks."""
    return (layer.conv * conv_bits + layer.state * state_bits) / 8 / tensor


def cached(layers: Sequence[Layer], bits: Bits, tensor: int, tokens: int, window_tokens: int | None = None) -> float:
    """Bytes of one sequence of `tokens` over `layers`; windows hold at most the window, or `window_tokens` more."""
    size = 0.0
    for layer in layers:
        held = tokens if layer.window is None else min(tokens, layer.window + (window_tokens or 0))
        size += token_bytes(layer, bits, tensor) * held
    return size
