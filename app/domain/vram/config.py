"""A model's shape from its config.json: the names that architectures give to the same thing, and their exceptions.

Checked against the published number of parameters of the models in `data/vram/configs.json`; sources of the layouts
are the models' own code in transformers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.vram import names
from app.domain.vram.feeds import Feed, feed_layer, feeds
from app.domain.vram.fields import Fields
from app.domain.vram.mixers import Frame, mixer_layer, mixers
from app.domain.vram.quants import stored
from app.domain.vram.shape import Layer, Shape

MOST_LAYERS = 1_024
MOST_WIDTH = 1_048_576
MOST_HEADS = 16_384
MOST_WORDS = 67_108_864
MOST_TOKENS = 2**31 - 1


def read_shape(data: Mapping[str, Any]) -> Shape:
    """The shape that a parsed config.json describes.

    Raises MODEL_LOAD_ERROR for what is no sane configuration, ARCH_UNSUPPORTED for what is no language model that
    generates or embeds text.
    """
    outer = Fields(data)
    fields = _language_model(outer)
    kind = _kind(fields, outer)
    if outer.flag("is_encoder_decoder") or fields.flag("is_encoder_decoder"):
        raise StokerError("ARCH_UNSUPPORTED", f"`{safe(kind, 60)}` is an encoder and a decoder.", _OTHER)
    for word in (outer.text("model_type"), kind):
        if word in names.REFUSED:
            raise StokerError("ARCH_UNSUPPORTED", f"`{word}` is {names.REFUSED[word]}.", _OTHER)
    frame = _frame(fields, kind)
    count = fields.whole(*names.LAYERS, least=1, most=MOST_LAYERS)
    kinds = mixers(fields, frame, 2 * count if kind == "longcat_flash" else count)
    inner = feeds(fields, frame, len(kinds))
    mixed = [mixer_layer(fields, frame, kind_of, i) for i, kind_of in enumerate(kinds)]
    if kind in ("zamba", "zamba2"):
        mixed, inner = _one_block(kinds, mixed, inner)
    layers = _shared_caches(fields, [feed_layer(m, frame, feed) for m, feed in zip(mixed, inner, strict=True)])
    embedding = frame.vocabulary * frame.width + _beside_words(fields, frame, len(layers))
    tied = _tied(fields, outer, kind)
    drafted = fields.whole("num_nextn_predict_layers", "mtp_layers", "mtp_num_hidden_layers", most=16, default=0)
    widest = max((f.inner for f in inner if f.kind in ("dense", "both")), default=0)
    return Shape(
        kind=kind,
        width=frame.width,
        heads=frame.heads,
        head_dim=frame.head_dim,
        inner=widest or max((f.inner for f in inner), default=0),
        vocabulary=frame.vocabulary,
        layers=tuple(layers),
        embedding=embedding,
        head=0 if tied or kind in names.ENCODERS else frame.vocabulary * frame.width,
        tied=tied,
        quantisation=stored(fields, outer),
        context=fields.maybe(*names.CONTEXT, least=1, most=MOST_TOKENS),
        expert_inner=max((f.expert_inner for f in inner), default=0),
        experts=max((f.experts for f in inner), default=0),
        experts_used=fields.alike().whole(*names.EXPERTS_USED, most=65_536, default=1),
        state_bits=32 if fields.text("mamba_ssm_dtype", "mamba_ssm_cache_dtype") == "float32" else 16,
        extra=_tower(outer),
        draft=tuple([_like_last(layers)] * drafted),
        causal=kind not in names.ENCODERS,
    )


_OTHER = "Choose a model that generates or embeds text."


def _language_model(outer: Fields) -> Fields:
    """The table of the language model: a nested one where there are several, with what only the outer one says."""
    fields, kept = outer, {}
    for _ in range(4):
        for name in ("tie_word_embeddings", "torch_dtype", "dtype", "quantization_config"):
            if fields.has(name):
                kept[name] = fields.data[name]
        nested = next((name for name in names.NESTED if fields.has(name)), None)
        if nested is None or any(fields.has(name) for name in names.HIDDEN if name != "dim"):
            break
        fields = fields.table(nested)
    return Fields({**kept, **fields.data})


def _kind(fields: Fields, outer: Fields) -> str:
    for name in ("model_type", "family"):
        for table in (fields, outer):
            if kind := table.text(name).lower().replace("-", "_"):
                return names.FAMILIES.get(kind, kind)
    return "unknown"


def _frame(fields: Fields, kind: str) -> Frame:
    width = fields.whole(*names.HIDDEN, least=1, most=MOST_WIDTH)
    heads = fields.maybe(*names.HEADS, least=1, most=MOST_HEADS) or 0
    beside = 2 if kind in ("zamba", "zamba2") else 1  # its attention reads the words beside what became of them
    head_dim = fields.maybe(*names.HEAD_DIM, least=1, most=65_536) or (beside * width // heads if heads else 0)
    vocabulary = fields.whole(*names.VOCABULARY, least=1, most=MOST_WORDS)
    return Frame(kind, width, heads, head_dim, vocabulary, _kv_heads(fields, kind, heads))


def _kv_heads(fields: Fields, kind: str, heads: int) -> int:
    if fields.flag("multi_query_attention") and fields.has("multi_query_group_num"):  # ChatGLM
        return fields.whole("multi_query_group_num", least=1, most=MOST_HEADS)
    if fields.flag("multi_query") and not fields.flag("new_decoder_architecture"):  # Falcon 7B, StarCoder
        return 1
    name = next((name for name in names.KV_HEADS if fields.has(name)), None)
    if name is None:
        attention = fields.table("attn_config")  # DBRX, MPT
        return attention.whole("kv_n_heads", least=1, most=MOST_HEADS, default=heads or 1) if heads else 0
    if isinstance(fields.data[name], list):  # a number a layer: `mixers` reads them
        return heads
    return fields.whole(name, most=max(heads, 1))


def _one_block(kinds: list[str], mixed: list[Layer], inner: list[Feed]) -> tuple[list[Layer], list[Feed]]:
    """Zamba: the layers that attend share one block's weights, and only that block has a feed-forward."""
    first = kinds.index("both") if "both" in kinds else -1
    states = next((layer for layer, kind in zip(mixed, kinds, strict=True) if kind == "mamba"), Layer())
    alike = [
        replace(layer, attention=states.attention, kv_weights=0) if kind == "both" and i != first else layer
        for i, (layer, kind) in enumerate(zip(mixed, kinds, strict=True))
    ]
    return alike, [feed if i == first else Feed("none") for i, feed in enumerate(inner)]


def _shared_caches(fields: Fields, layers: list[Layer]) -> list[Layer]:
    """Without the caches of the last layers, where they read those of earlier ones (Gemma 3n)."""
    shared = fields.whole("num_kv_shared_layers", most=len(layers), default=0)
    kept = len(layers) - shared
    return [*layers[:kept], *(replace(layer, key=0, value=0) for layer in layers[kept:])]


def _beside_words(fields: Fields, frame: Frame, layers: int) -> int:
    """Embeddings beside those of the words: learned positions, and Gemma 3n's own for each layer with what mixes them
    in and what splits its residual stream."""
    positions = 0
    if frame.kind in ("gpt2", "opt", "gpt_bigcode", "gpt_neo", *names.ENCODERS):
        positions = fields.whole(*names.CONTEXT, least=1, most=MOST_TOKENS, default=0) * frame.width
    own = fields.whole("hidden_size_per_layer_input", most=MOST_WIDTH, default=0)
    words = fields.whole("vocab_size_per_layer_input", most=MOST_WORDS, default=0)
    streams = fields.whole("altup_num_inputs", least=1, most=64, default=1) - 1 if own else 0
    return positions + own * (words + frame.width) * layers + 2 * streams * frame.width * frame.width


def _tied(fields: Fields, outer: Fields, kind: str) -> bool:
    default = kind in names.TIED
    return fields.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", default))


def _tower(outer: Fields) -> int:
    """Parameters of a vision tower, roughly: its layers and their feed-forwards, without projections."""
    table = next((outer.table(name) for name in ("vision_config", "vision_tower") if outer.has(name)), None)
    if table is None:
        return 0
    width = table.maybe("hidden_size", "embed_dim", "width", least=1, most=MOST_WIDTH)
    layers = table.maybe("num_hidden_layers", "depth", "layers", "num_layers", least=1, most=MOST_LAYERS)
    if width is None or layers is None:
        return 0
    inner = table.whole("intermediate_size", least=1, most=MOST_WIDTH, default=4 * width)
    return layers * (4 * width * width + 2 * width * inner)


def _like_last(layers: list[Layer]) -> Layer:
    """A layer that speculates is like the last that attends."""
    return next((layer for layer in reversed(layers) if layer.key), layers[-1])
