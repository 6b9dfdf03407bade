"""What mixes tokens in each layer (attention of several kinds, linear attention, state spaces) and what that keeps."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.vram.fields import Fields, refuse, whole_number
from app.domain.vram.names import KV_HEADS
from app.domain.vram.shape import Layer

_MOST = 1_048_576
_TOKENS = 2**31 - 1
_WORDS = {
    "full_attention": "full", "attention": "full", "full": "full", "global": "full", "global_attention": "full",
    "hybrid": "both", "sliding_attention": "window", "sliding": "window", "local": "window",
    "local_attention": "window", "chunked_attention": "window", "linear_attention": "linear", "mamba": "mamba",
    "mamba2": "mamba", "recurrent": "recurrent", "conv": "conv", "mlp": "none", "moe": "none", "none": "none",
    "M": "mamba", "*": "full", "E": "none", "-": "none", "m": "mamba", "g": "both",
}  # fmt: skip
"""Names of kinds of layers in `layer_types` and its like, and the letters of Nemotron's patterns."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The numbers that every layer shares."""

    kind: str
    width: int
    heads: int
    head_dim: int
    vocabulary: int
    kv_heads: int


def mixers(fields: Fields, frame: Frame, count: int) -> list[str]:
    """The kind of each of `count` layers: full, window, linear, mamba, both, recurrent, conv, rwkv or none."""
    listed = _listed(fields) or _counted(fields, count)
    if listed:
        if len(listed) < count:
            refuse(f"{len(listed)} kinds are listed for {count} layers")
        return listed[:count]
    if frame.kind in ("mamba", "mamba2", "falcon_mamba"):
        return ["mamba"] * count
    if frame.kind.startswith("rwkv"):
        return ["rwkv"] * count
    if fields.has("full_attn_idxs"):  # LFM2
        attends = fields.items("full_attn_idxs")
        return ["full" if i in attends else "conv" for i in range(count)]
    if frame.kind == "falcon_h1":
        return ["both"] * count
    if not frame.heads:
        refuse("`num_attention_heads` is missing")
    return _periodic(fields, frame, count)


def _listed(fields: Fields) -> list[str]:
    """Kinds that the configuration names one by one."""
    pattern = fields.text("hybrid_override_pattern")
    words: Sequence[Any] = pattern or next(
        (
            fields.items(name)
            for name in ("layer_types", "layers_block_type", "block_types", "attn_type_list")
            if fields.has(name)
        ),
        (),
    )
    if fields.has("hybrid_layer_pattern"):  # MiMo-V2: 1 slides
        words = ["sliding" if word == 1 else "full" for word in fields.items("hybrid_layer_pattern")]
    if fields.has("attn_type_list"):  # MiniMax-01: 1 attends, 0 is linear
        words = ["full" if word == 1 else "linear_attention" for word in words]
    kinds = [_WORDS.get(word, "") if isinstance(word, str) else "" for word in words]
    if "" in kinds:
        refuse(f"a layer is of the unknown kind {words[kinds.index('')]!r}")
    if fields.has("block_types") and kinds:  # RecurrentGemma repeats a short pattern, and its attention is local
        count = fields.whole("num_hidden_layers", least=1, most=1_024)
        return [("window" if kind == "full" else kind) for kind in (kinds * count)[:count]]
    return kinds


def _counted(fields: Fields, count: int) -> list[str]:
    """Kinds of which only the numbers are known, evenly mixed."""
    numbers = {
        kind: fields.whole(name, most=count, default=0)
        for kind, name in (
            ("full", "num_full_layers"),
            ("window", "num_sliding_layers"),
            ("linear", "num_linear_layers"),
            ("mamba", "num_mamba_layers"),
        )
    }
    if not sum(numbers.values()):
        return []
    numbers["none"] = max(0, count - sum(numbers.values()))
    places = sorted(((i + 1) / n, kind) for kind, n in numbers.items() for i in range(n))
    return [kind for _, kind in places]


def _periodic(fields: Fields, frame: Frame, count: int) -> list[str]:
    """Kinds by the rules of architectures that say a period, a first layer or a window."""
    every = range(count)
    if fields.has("attn_layer_indices"):  # Bamba
        indices = fields.items("attn_layer_indices")
        return ["full" if i in indices else "mamba" for i in every]
    if frame.kind in ("zamba", "zamba2"):
        shared = fields.items("hybrid_layer_ids") or range(5 if frame.kind == "zamba2" else 4, count, 6)
        return ["both" if i in shared else "mamba" for i in every]
    if (period := fields.maybe("attn_layer_period", least=1, most=1_024)) is not None:  # Jamba
        offset = fields.whole("attn_layer_offset", most=1_024, default=0)
        return ["full" if i % period == offset else "mamba" for i in every]
    if fields.has("linear_attn_config"):  # Kimi Linear counts from one
        attends = fields.table("linear_attn_config").items("full_attn_layers")
        return ["full" if i + 1 in attends else "linear" for i in every]
    if fields.has("linear_num_value_heads"):
        period = fields.whole("full_attention_interval", least=1, most=1_024, default=4)
        return ["full" if (i + 1) % period == 0 else "linear" for i in every]
    if window_of(fields, frame.kind) is None:
        return ["full"] * count
    return _windows(fields, frame.kind, count)


def window_of(fields: Fields, kind: str) -> int | None:
    """The window of those layers that have one; None where it is off or no shorter than the longest context."""
    window = fields.maybe("sliding_window", "attention_window_size", "attention_chunk_size", least=1, most=_TOKENS)
    off = kind.startswith(("qwen2", "qwen3", "mimo"))
    if not fields.flag("use_sliding_window", not off) or kind == "starcoder2":
        return None
    longest = fields.maybe("max_position_embeddings", "max_position", least=1, most=_TOKENS)
    return None if window is None or (longest is not None and window >= longest) else window


def _windows(fields: Fields, kind: str, count: int) -> list[str]:
    """Which layers slide, where only the architecture says it."""
    if (first := fields.maybe("max_window_layers", most=1_024)) is not None and kind.startswith("qwen"):
        return ["window" if i >= first else "full" for i in range(count)]
    for name in ("sliding_window_pattern", "_sliding_window_pattern"):
        letters = fields.data.get(name)
        if isinstance(letters, str):  # EXAONE writes LLLG: local and global
            if not re.fullmatch(r"[LG]{1,64}", letters):
                refuse(f"`{name}` is {letters!r:.40}, not a number nor letters L and G")
            return [{"L": "window", "G": "full"}[letters[i % len(letters)]] for i in range(count)]
    periods = {"gemma2": 2, "gpt_oss": 2, "gemma3": 6, "gemma3_text": 6, "gemma3n": 5, "gemma3n_text": 5, "gemma4": 6}
    periods |= {"cohere2": 4, "llama4": 4, "llama4_text": 4, "exaone4": 4, "olmo3": 4}
    period = fields.maybe("sliding_window_pattern", "_sliding_window_pattern", least=1, most=1_024)
    period = period or periods.get(kind)
    if period is None:  # Mistral 0.1, Phi-3: every layer
        return ["window"] * count
    return ["full" if (i + 1) % period == 0 else "window" for i in range(count)]


def mixer_layer(fields: Fields, frame: Frame, kind: str, index: int) -> Layer:
    """The mixer of layer `index` with what it keeps; norms are its `fixed` part."""
    if kind == "none":
        return Layer(fixed=frame.width)
    if kind == "linear":
        return _linear(fields, frame)
    if kind == "rwkv":
        return _rwkv(fields, frame)
    if kind == "recurrent":
        return _recurrent(fields, frame)
    if kind == "conv":
        width = fields.whole("conv_dim", least=1, most=_MOST, default=frame.width)
        length = fields.whole("conv_L_cache", least=1, most=64, default=3)
        return Layer(conv=length * width, attention=4 * width * frame.width + length * width, fixed=2 * frame.width)
    if kind == "mamba":
        return _mamba(fields, frame)
    attends = _attention(fields, frame, kind, index)
    if kind != "both":
        return attends
    beside = _mamba(fields, frame)
    return Layer(
        key=attends.key,
        value=attends.value,
        kv_heads=attends.kv_heads,
        conv=beside.conv,
        state=beside.state,
        attention=attends.attention + beside.attention,
        kv_weights=attends.kv_weights,
        fixed=attends.fixed + beside.fixed,
    )


def _attention(fields: Fields, frame: Frame, kind: str, index: int) -> Layer:
    if fields.has("kv_lora_rank"):
        return _latent(fields, frame)
    heads, kv, dim = frame.heads, _own_heads(fields, frame, index), frame.head_dim
    if not dim:
        refuse("`num_attention_heads` is missing")
    same = False
    if kind == "full" and fields.has("global_head_dim"):  # Gemma 4: full layers are wider; V is K before its rotation
        dim = fields.whole("global_head_dim", least=1, most=65_536)
        kv = fields.whole("num_global_key_value_heads", "num_global_kv_heads", least=1, most=heads, default=kv)
        same = fields.flag("attention_k_eq_v")
    value = dim
    if fields.has("v_head_dim"):  # MiMo-V2
        value = fields.whole("v_head_dim", least=1, most=65_536)
        if kind == "window":
            kv = fields.whole("swa_num_key_value_heads", least=1, most=heads, default=kv)
            dim = fields.whole("swa_head_dim", least=1, most=65_536, default=dim)
            value = fields.whole("swa_v_head_dim", least=1, most=65_536, default=value)
    if not kv:
        return Layer(fixed=frame.width)
    gated = frame.kind.startswith(("qwen3_next", "qwen3_5")) or fields.flag("attn_output_gate")
    bias = fields.flag("attn_bias", fields.flag("attention_bias", frame.kind.startswith("qwen2")))
    queries = frame.width * heads * dim * (2 if gated else 1) + heads * value * frame.width + bias * heads * dim
    caches = (frame.width + bias) * kv * (dim if same else dim + value)
    window = window_of(fields, frame.kind) if kind == "window" else None
    if window is None and kind == "window":
        window = fields.maybe("sliding_window", least=1, most=_TOKENS)
    return Layer(
        key=kv * dim,
        value=kv * value,
        kv_heads=kv,
        window=window,
        attention=queries + _of_gemma3n(fields, frame),
        kv_weights=caches,
        fixed=2 * frame.width * (2 if frame.kind.startswith(("gemma2", "gemma3", "gemma4", "glm4")) else 1),
    )


def _of_gemma3n(fields: Fields, frame: Frame) -> int:
    """A low-rank path beside the attention, and what mixes in the layer's own embeddings."""
    rank = fields.whole("laurel_rank", most=65_536, default=0)
    own = fields.whole("hidden_size_per_layer_input", most=_MOST, default=0)
    return 2 * frame.width * (rank + own) if rank else 0


def _own_heads(fields: Fields, frame: Frame, index: int) -> int:
    """Heads of the cache of one layer, where each has a number of its own (OpenELM, Nemotron-NAS)."""
    for name in KV_HEADS:
        numbers = fields.data.get(name)
        if isinstance(numbers, list):
            if index >= len(numbers):
                refuse(f"`{name}` has no entry for layer {index}")
            return whole_number(name, numbers[index], 0, frame.heads)
    blocks = fields.items("block_configs")
    if not blocks and frame.kind != "deci":
        return frame.kv_heads
    if index >= len(blocks) or not isinstance(blocks[index], dict):
        refuse(f"`block_configs` has no entry for layer {index}")
    attention = Fields(blocks[index]).table("attention")
    if attention.flag("no_op") or attention.flag("replace_with_linear"):
        return 0
    group = attention.whole("n_heads_in_group", least=1, most=max(1, frame.heads), default=1)
    return max(1, frame.heads // group)


def _latent(fields: Fields, frame: Frame) -> Layer:
    """Multi-head latent attention (DeepSeek V2 and later): one compressed vector and one rotary key a token."""
    rank = fields.whole("kv_lora_rank", least=1, most=_MOST)
    rope = fields.whole("qk_rope_head_dim", most=65_536, default=64)
    nope = fields.whole("qk_nope_head_dim", most=65_536, default=128)
    value = fields.whole("v_head_dim", least=1, most=65_536, default=128)
    through = fields.maybe("q_lora_rank", least=1, most=_MOST)
    heads, width = frame.heads, frame.width
    queries = (through or width) * heads * (nope + rope)
    indexers = fields.whole("index_n_heads", most=16_384, default=0)
    index = fields.whole("index_head_dim", least=1, most=65_536, default=128)
    indexed = indexers > 0 or frame.kind in ("deepseek_v32", "glm_moe_dsa")
    selects = indexers * ((through or width) * index + width) + (width * index if indexers else 0)
    return Layer(
        key=rank + rope,
        kv_heads=1,
        latent=True,
        full_key=heads * (nope + rope),
        full_value=heads * value,
        index=index + 4 if indexed else 0,
        attention=queries + rank * heads * (nope + value) + heads * value * width,
        fixed=width * (rank + rope) + (width * through if through else 0) + 2 * width + selects,
    )


def _linear(fields: Fields, frame: Frame) -> Layer:
    """Gated delta rule (Qwen3-Next, Kimi Linear) and its like; MiniMax-01 has one square a head."""
    table = fields.table("linear_attn_config") if fields.has("linear_attn_config") else fields
    heads = table.whole("linear_num_value_heads", "num_heads", least=1, most=16_384, default=frame.heads or 1)
    keys = table.whole("linear_num_key_heads", "num_heads", least=1, most=16_384, default=heads)
    key = table.whole("linear_key_head_dim", "head_dim", least=1, most=65_536, default=frame.head_dim or 128)
    value = table.whole("linear_value_head_dim", "head_dim", least=1, most=65_536, default=frame.head_dim or 128)
    kernel = table.whole("linear_conv_kernel_dim", "short_conv_kernel_size", least=1, most=64, default=1)
    mixed = 2 * keys * key + heads * value
    weights = frame.width * (mixed + 2 * heads * value + 2 * heads) + kernel * mixed
    return Layer(conv=(kernel - 1) * mixed, state=heads * key * value, attention=weights, fixed=2 * frame.width)


def _mamba(fields: Fields, frame: Frame) -> Layer:
    """A state space of the first kind (Mamba, Jamba) or, where it has heads, the second."""
    size = fields.whole("mamba_d_state", "ssm_state_size", "state_size", least=1, most=65_536, default=16)
    kernel = fields.whole("mamba_d_conv", "conv_kernel", "d_conv", least=1, most=64, default=4)
    heads = fields.maybe("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", least=1, most=16_384)
    if frame.kind == "mamba2":
        heads = fields.whole("num_heads", least=1, most=16_384, default=128)
    expand = fields.whole("mamba_expand", "expand", least=1, most=64, default=2)
    head_dim = fields.maybe("mamba_d_head", "mamba_head_dim", "mamba_headdim", least=1, most=65_536)
    width = fields.maybe("mamba_d_ssm", least=1, most=_MOST)
    first = frame.kind in ("mamba", "falcon_mamba", "jamba", "zamba")
    if width is None:
        width = heads * head_dim if heads and head_dim and not first else expand * frame.width
    if first or not heads:
        rank = fields.data.get("mamba_dt_rank") or fields.data.get("time_step_rank")
        rank = rank if isinstance(rank, int) and 0 < rank < _MOST else math.ceil(frame.width / 16)
        inside = width * (kernel + rank + 2 * size + rank + size + 2)
        return Layer(
            conv=(kernel - 1) * width,
            state=size * width,
            attention=3 * frame.width * width + inside,
            fixed=2 * frame.width,
        )
    groups = fields.whole("mamba_n_groups", "mamba_ngroups", "n_groups", least=1, most=16_384, default=1)
    mixed = width + 2 * groups * size
    return Layer(
        conv=(kernel - 1) * mixed,
        state=size * width,
        attention=frame.width * (width + mixed + heads) + kernel * mixed + 2 * width + width * frame.width,
        fixed=2 * frame.width,
    )


def _recurrent(fields: Fields, frame: Frame) -> Layer:
    """RecurrentGemma's gated linear recurrence."""
    width = fields.whole("lru_width", least=1, most=_MOST, default=frame.width)
    kernel = fields.whole("conv1d_width", least=1, most=64, default=4)
    gates = 2 * width * width // max(1, frame.heads)
    return Layer(
        conv=(kernel - 1) * width,
        state=width,
        attention=3 * frame.width * width + kernel * width + gates,
        fixed=2 * frame.width,
    )


def _rwkv(fields: Fields, frame: Frame) -> Layer:
    """RWKV: a square a head from version 5 on, five vectors in version 4; and the token before for each half."""
    width = fields.whole("attention_hidden_size", least=1, most=_MOST, default=frame.width)
    head = fields.maybe("head_size", "head_dim", least=1, most=65_536)
    state = 3 * width if frame.kind == "rwkv" and head is None else width * (head or 64)
    matrices = {"rwkv": 5, "rwkv7": 4}.get(frame.kind, 6)
    return Layer(conv=2 * frame.width, state=state, attention=matrices * frame.width * width, fixed=2 * frame.width)
