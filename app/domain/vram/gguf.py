"""A model's shape from the metadata and the tensor table of its GGUF file, as llama.cpp reads them.

Keys are those of `gguf-py/gguf/constants.py`, states those of `src/llama-hparams.cpp`. What a layer is (attention, a
state space, both) is told by the tensors it has; parameters are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.vram.config import MOST_HEADS, MOST_LAYERS, MOST_TOKENS, MOST_WIDTH, MOST_WORDS
from app.domain.vram.fields import Fields, refuse, whole_number
from app.domain.vram.quants import quantisation
from app.domain.vram.shape import Layer, Shape
from app.domain.vram.weights import Tensor, sorted_out

_REFUSED = ("t5", "t5encoder", "clip", "whisper", "wavtokenizer-dec")
_ENCODERS = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert", "neo-bert")
_PERIODS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gemma4": 6, "gpt-oss": 2, "cohere2": 4, "llama4": 4, "exaone4": 4}
"""Every how many layers one is full, where the file does not say; other architectures' windows are not used."""


def read_gguf(metadata: Mapping[str, Any], tensors: Sequence[Tensor]) -> Shape:
    """The shape of a GGUF file. Raises MODEL_LOAD_ERROR for nonsense, ARCH_UNSUPPORTED for what generates no text."""
    kind = Fields(metadata).text("general.architecture")
    if not kind or kind in _REFUSED:
        raise StokerError("ARCH_UNSUPPORTED", f"The file holds `{safe(kind or 'nothing', 40)}`, no language model.")
    prefix = f"{kind}."
    fields = Fields({key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)})
    names = {tensor.name for tensor in tensors}
    drafted = fields.whole("nextn_predict_layers", most=16, default=0)
    count = fields.whole("block_count", least=1, most=MOST_LAYERS) - drafted
    width = fields.whole("embedding_length", least=1, most=MOST_WIDTH)
    heads = max(_listed(fields, "attention.head_count", count, MOST_HEADS))
    head_dim = fields.maybe("attention.key_length", least=1, most=65_536) or (width // heads if heads else 0)
    layers = [_layer(fields, kind, names, i, count) for i in range(max(0, count))]
    parts = sorted_out(tensors, len(layers))
    numbers = {part: sum(tensor.elements for tensor in found) for part, found in parts.items()}
    layers = [_counted(layer, numbers, i) for i, layer in enumerate(layers)]
    tied = "output.weight" not in names
    return Shape(
        kind=kind,
        width=width,
        heads=heads,
        head_dim=head_dim,
        inner=max(_listed(fields, "feed_forward_length", count, MOST_WIDTH)),
        vocabulary=_vocabulary(fields, metadata, numbers.get("embedding", 0), width),
        layers=tuple(layers),
        embedding=numbers.get("embedding", 0),
        head=0 if tied else numbers.get("head", 0),
        tied=tied,
        quantisation=quantisation("f16"),
        context=fields.maybe("context_length", least=1, most=MOST_TOKENS),
        expert_inner=fields.whole("expert_feed_forward_length", most=MOST_WIDTH, default=0),
        experts=fields.whole("expert_count", most=65_536, default=0),
        experts_used=fields.whole("expert_used_count", most=65_536, default=1),
        state_bits=32,
        causal=kind not in _ENCODERS,
    )


def _listed(fields: Fields, name: str, count: int, most: int) -> list[int]:
    """A number, or one for each layer."""
    value = fields.data.get(name, 0)
    if isinstance(value, list):
        if not value:
            refuse(f"`{name}` is empty")
        return [whole_number(name, item, 0, most) for item in value]
    return [whole_number(name, value, 0, most)] * max(1, count)


def _vocabulary(fields: Fields, metadata: Mapping[str, Any], embedding: int, width: int) -> int:
    words = Fields(metadata).maybe("tokenizer.ggml.tokens", most=MOST_WORDS)
    found = fields.maybe("vocab_size", least=1, most=MOST_WORDS) or words or embedding // width
    return max(1, found)


def _layer(fields: Fields, kind: str, names: set[str], index: int, count: int) -> Layer:
    """What layer `index` keeps."""
    blk = f"blk.{index}."
    state = any(f"{blk}{name}" in names for name in ("ssm_a", "ssm_conv1d.weight", "ssm_out.weight"))
    mixes = f"{blk}time_mix_key.weight" in names
    short = f"{blk}shortconv.conv.weight" in names
    whole = any(f"{blk}{name}.weight" in names for name in ("attn_k", "attn_kv_a_mqa"))
    attends = whole or (f"{blk}attn_qkv.weight" in names and not state)
    layer = _attention(fields, kind, names, index, count) if attends else Layer()
    if state:
        kept = _state_space(fields)
        layer = replace(layer, conv=kept.conv, state=kept.state)
    if mixes:
        width = fields.whole("embedding_length", least=1, most=MOST_WIDTH)
        layer = replace(layer, conv=2 * width, state=width * fields.whole("wkv.head_size", most=65_536, default=64))
    if short:
        cells = fields.whole("shortconv.l_cache", least=1, most=64, default=3)
        layer = replace(layer, conv=(cells - 1) * fields.whole("embedding_length", least=1, most=MOST_WIDTH))
    return layer


def _attention(fields: Fields, kind: str, names: set[str], index: int, count: int) -> Layer:
    width = fields.whole("embedding_length", least=1, most=MOST_WIDTH)
    heads = _at(_listed(fields, "attention.head_count", count, MOST_HEADS), index)
    kv = _at(_listed(fields, "attention.head_count_kv", count, MOST_HEADS), index) if _says(fields) else heads
    key = fields.maybe("attention.key_length", least=1, most=65_536) or (width // heads if heads else 0)
    value = fields.maybe("attention.value_length", least=1, most=65_536) or key
    if (rank := fields.maybe("attention.kv_lora_rank", least=1, most=MOST_WIDTH)) is not None:
        if f"blk.{index}.attn_k_b.weight" in names:
            rope = fields.whole("rope.dimension_count", most=65_536, default=64)
            return Layer(key=rank + rope, kv_heads=1, latent=True)
        return Layer(key=heads * key, value=heads * value, kv_heads=heads)
    window = _window(fields, kind, index)
    if window is not None:
        key = fields.whole("attention.key_length_swa", least=1, most=65_536, default=key)
        value = fields.whole("attention.value_length_swa", least=1, most=65_536, default=value)
    return Layer(key=kv * key, value=kv * value, kv_heads=kv, window=window)


def _says(fields: Fields) -> bool:
    return fields.has("attention.head_count_kv")


def _at(values: list[int], index: int) -> int:
    return values[min(index, len(values) - 1)]


def _window(fields: Fields, kind: str, index: int) -> int | None:
    window = fields.maybe("attention.sliding_window", "attention.chunk_size", most=MOST_TOKENS)
    pattern = fields.data.get("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        return window if window and index < len(pattern) and pattern[index] else None
    period = fields.maybe("attention.sliding_window_pattern", most=MOST_LAYERS) or _PERIODS.get(kind)
    return window if window and period and (index + 1) % period else None


def _state_space(fields: Fields) -> Layer:
    kernel = fields.whole("ssm.conv_kernel", least=1, most=64, default=1)
    inner = fields.whole("ssm.inner_size", most=MOST_WIDTH, default=0)
    size = fields.whole("ssm.state_size", most=65_536, default=0)
    groups = fields.whole("ssm.group_count", most=16_384, default=0)
    return Layer(conv=(kernel - 1) * (inner + 2 * groups * size), state=size * inner)


def _counted(layer: Layer, numbers: Mapping[Any, int], index: int) -> Layer:
    return replace(
        layer,
        attention=numbers.get((index, "divided"), 0),
        kv_weights=numbers.get((index, "caches"), 0),
        experts=numbers.get((index, "experts"), 0),
        fixed=numbers.get((index, "fixed"), 0),
    )
