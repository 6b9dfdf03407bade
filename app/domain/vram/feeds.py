"""The feed-forward of each layer: dense, a mixture of experts, both or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.domain.vram import names
from app.domain.vram.fields import Fields, refuse, whole_number
from app.domain.vram.mixers import Frame
from app.domain.vram.shape import Layer

_MOST = 1_048_576


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed-forward: `inner` of the dense part, `expert_inner` of each routed expert, `shared` of all shared ones.

    `latent` is the width that experts work in where it is not the model's. `matrices` is 3 with a gate, else 2.
    """

    kind: Literal["dense", "experts", "both", "none"]
    inner: int = 0
    experts: int = 0
    expert_inner: int = 0
    shared: int = 0
    latent: int = 0
    matrices: int = 3


def feeds(fields: Fields, frame: Frame, count: int) -> list[Feed]:
    """The feed-forward of each of `count` layers."""
    pattern = fields.text("hybrid_override_pattern")
    if frame.kind in ("mamba", "mamba2", "falcon_mamba"):
        return [Feed("none")] * count
    if frame.kind.startswith("rwkv"):
        share = 3.5 if frame.kind in ("rwkv5", "rwkv6") else 4
        inner = fields.whole("intermediate_size", least=1, most=_MOST, default=int(frame.width * share) // 32 * 32)
        return [Feed("dense", inner, matrices=2)] * count
    dense = [_dense(fields, frame, i) for i in range(count)]
    experts = _experts(fields, frame)
    if pattern:
        return [
            experts if letter == "E" and experts else dense[i] if letter == "-" else Feed("none")
            for i, letter in enumerate(pattern[:count])
        ]
    if experts is None:
        shared = fields.maybe("shared_intermediate_size", least=1, most=_MOST)  # Granite calls its only one shared
        return dense if shared is None else [replace(feed, inner=shared) for feed in dense]
    routed = _routed(fields, frame, count)
    if frame.kind.startswith("gemma4") or frame.kind == "longcat_flash":
        both = replace(experts, kind="both", inner=dense[0].inner)
        return [both if i in routed else dense[i] for i in range(count)]
    return [experts if i in routed else dense[i] for i in range(count)]


def _matrices(fields: Fields, frame: Frame, inner: int) -> int:
    """Two for what is known to have no gate; the families that exist in both forms are told by a width of four."""
    if frame.kind in ("falcon", "phi", "unknown"):
        return 2 if inner == 4 * frame.width else 3
    if frame.kind.startswith("mpt"):
        return 2
    return 2 if frame.kind in names.UNGATED else 3


def _dense(fields: Fields, frame: Frame, index: int) -> Feed:
    blocks = fields.items("block_configs")
    if blocks:
        return _searched(fields, frame, blocks, index)
    name = next((name for name in names.INNER if fields.has(name)), None)
    value = fields.data.get(name) if name else 4 * frame.width
    if isinstance(value, list):  # Gemma 3n: a width a layer
        if index >= len(value):
            refuse(f"`{name}` has no entry for layer {index}")
        value = value[index]
    inner = whole_number(name or "intermediate_size", value, 0, _MOST)
    if frame.kind in ("recurrent_gemma", "qwen"):
        inner //= 2  # it counts gate and value together
    if frame.kind.startswith("llama4"):
        inner = fields.whole("intermediate_size_mlp", least=1, most=_MOST, default=inner)
    if frame.kind == "lfm2":
        inner = _adjusted(fields, inner)
    return Feed("dense", inner, matrices=_matrices(fields, frame, inner))


def _adjusted(fields: Fields, inner: int) -> int:
    """LFM2 takes two thirds of the width that it names, up to a multiple."""
    inner = fields.whole("block_ff_dim", least=1, most=_MOST, default=inner)
    if not fields.flag("block_auto_adjust_ff_dim", fields.has("block_ff_dim")):
        return inner
    multiple = fields.whole("block_multiple_of", least=1, most=_MOST, default=256)
    share = fields.data.get("block_ffn_dim_multiplier")
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 64:
        share = 1.0
    return -(-int(share * int(2 * inner / 3)) // multiple) * multiple


def _searched(fields: Fields, frame: Frame, blocks: Sequence[object], index: int) -> Feed:
    """Nemotron-NAS: each block says how wide it is, as a multiple of the model's width."""
    block = blocks[index] if index < len(blocks) else None
    if not isinstance(block, dict):
        refuse(f"`block_configs` has no entry for layer {index}")
    feed = Fields(block).table("ffn")
    if feed.flag("no_op"):
        return Feed("none")
    if (inner := feed.maybe("intermediate_size", most=_MOST)) is not None:
        return Feed("dense", inner)
    share = feed.data.get("ffn_mult")
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 64:
        return Feed("dense", frame.width, matrices=1)
    # The published rule: two thirds of four times the width, times the share, rounded up to 256.
    return Feed("dense", -(-int(2 * share * frame.width / 3) * 1 // 256) * 256)


def _experts(fields: Fields, frame: Frame) -> Feed | None:
    table = fields.table("ffn_config") if fields.has("ffn_config") else fields.alike()  # DBRX
    count = table.whole(*names.EXPERTS, most=65_536, default=0)
    if count == 0:
        return None
    default = fields.maybe("intermediate_size", "ffn_dim", least=1, most=_MOST)
    inner = table.whole(*names.EXPERT_INNER, least=1, most=_MOST, default=default or 4 * frame.width)
    shared = table.maybe("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", most=_MOST)
    if shared is None:
        shared = table.whole(*names.SHARED, most=1_024, default=0) * inner
        if frame.kind == "arctic":  # a dense part as wide as the model beside the experts
            shared = frame.width
        if not shared and frame.kind.startswith("llama4"):
            shared = inner
        if not shared:
            shared = table.whole("shared_intermediate_size", most=_MOST, default=0)
    return Feed(
        "experts",
        experts=count,
        expert_inner=inner,
        shared=shared,
        latent=table.whole("moe_latent_size", most=_MOST, default=0),
        matrices=2 if frame.kind in names.UNGATED else 3,
    )


def _routed(fields: Fields, frame: Frame, count: int) -> set[int]:
    """Which layers are mixtures."""
    every = set(range(count))
    if frame.kind == "longcat_flash":  # of the two halves of each layer the first
        return {i for i in every if i % 2 == 0}
    if fields.has("moe_layers_enum"):  # Step-3 writes "4,5,6"
        words = fields.text("moe_layers_enum").split(",")
        return {int(word) for word in words if word.strip().isdecimal() and len(word) < 6} & every
    if (period := fields.maybe("expert_layer_period", least=1, most=1_024)) is not None:
        offset = fields.whole("expert_layer_offset", most=1_024, default=0)
        return {i for i in every if i % period == offset}
    step = fields.whole("interleave_moe_layer_step", "decoder_sparse_step", "moe_every_n_layers", most=1_024, default=1)
    first = fields.whole(*names.FIRST_DENSE, most=count, default=0)
    dense = {i for i in fields.items("mlp_only_layers") if isinstance(i, int)}
    frequency = fields.data.get("moe_layer_freq")
    if isinstance(frequency, list):
        return {i for i in every if i < len(frequency) and frequency[i]}
    return {i for i in every if i >= first and i not in dense and (i + 1) % max(1, step) == 0}


def feed_layer(layer: Layer, frame: Frame, feed: Feed) -> Layer:
    """`layer` with the parameters of `feed`."""
    if feed.kind == "none":
        return layer
    dense = feed.matrices * frame.width * feed.inner if feed.kind in ("dense", "both") else 0
    if feed.kind == "dense":
        return replace(layer, mlp=dense)
    within = feed.latent or frame.width
    return replace(
        layer,
        mlp=dense,
        experts=feed.experts * feed.matrices * within * feed.expert_inner,
        shared=feed.matrices * frame.width * feed.shared + 2 * feed.latent * frame.width,
        fixed=layer.fixed + frame.width * feed.experts,
    )
