"""How many bits a number takes in each form of weights and cache, scales of blocks included.

Bits of GGUF types are those of ggml's block layouts; what mixtures of them come to is llama.cpp's own table for its
`quantize` program, on a model of the common architecture.
"""

import re
from dataclasses import replace

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.vram.fields import Fields
from app.domain.vram.shape import Quantisation

GGML_BITS = {
    "f32": 32.0, "f16": 16.0, "bf16": 16.0, "q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0, "q8_0": 8.5,
    "q8_1": 9.0, "q2_k": 2.625, "q3_k": 3.4375, "q4_k": 4.5, "q5_k": 5.5, "q6_k": 6.5625, "q8_k": 9.125,
    "iq1_s": 1.5625, "iq1_m": 1.75, "iq2_xxs": 2.0625, "iq2_xs": 2.3125, "iq2_s": 2.5625, "iq3_xxs": 3.0625,
    "iq3_s": 3.4375, "iq4_nl": 4.5, "iq4_xs": 4.25, "tq1_0": 1.6875, "tq2_0": 2.0625, "mxfp4": 4.25,
}  # fmt: skip

# Mixtures: the bits of the layers' matrices, the type of the embedding, and that of the head.
_MIXTURES = {
    "q2_k": (2.96, "q2_k", "q6_k"), "q2_k_s": (2.75, "q2_k", "q6_k"), "q3_k_s": (3.44, "q3_k", "q6_k"),
    "q3_k_m": (3.86, "q3_k", "q6_k"), "q3_k_l": (4.22, "q3_k", "q6_k"), "q4_0": (4.5, "q4_0", "q6_k"),
    "q4_1": (5.0, "q4_1", "q6_k"), "q4_k_s": (4.55, "q4_k", "q6_k"), "q4_k_m": (4.83, "q4_k", "q6_k"),
    "q5_0": (5.5, "q5_0", "q6_k"), "q5_1": (6.0, "q5_1", "q6_k"), "q5_k_s": (5.5, "q5_k", "q6_k"),
    "q5_k_m": (5.68, "q5_k", "q6_k"), "q6_k": (6.5625, "q6_k", "q6_k"), "q8_0": (8.5, "q8_0", "q8_0"),
    "iq1_s": (1.7, "q2_k", "q5_k"), "iq1_m": (1.9, "q2_k", "q5_k"), "iq2_xxs": (2.2, "q2_k", "q5_k"),
    "iq2_xs": (2.4, "q2_k", "q5_k"), "iq2_s": (2.55, "q2_k", "q5_k"), "iq2_m": (2.7, "q2_k", "q5_k"),
    "iq3_xxs": (3.1, "iq3_s", "q6_k"), "iq3_xs": (3.3, "iq3_s", "q6_k"), "iq3_s": (3.46, "iq3_s", "q6_k"),
    "iq3_m": (3.66, "iq3_s", "q6_k"), "iq4_xs": (4.3, "iq4_xs", "q6_k"), "iq4_nl": (4.5, "iq4_nl", "q6_k"),
    "tq1_0": (1.69, "q4_k", "q6_k"), "tq2_0": (2.06, "q4_k", "q6_k"), "f16": (16.0, "f16", "f16"),
    "bf16": (16.0, "bf16", "bf16"), "f32": (32.0, "f32", "f32"),
}  # fmt: skip

# Forms of checkpoints, whose embedding and head keep 16 bits. Scales: fp8 one float32 for 128 by 128 numbers,
# awq and gptq a half and a zero for 128 numbers, bitsandbytes a float32 for 64, nvfp4 eight bits for 16, mxfp4 for 32.
_CHECKPOINT = {
    "fp32": 32.0, "float32": 32.0, "fp16": 16.0, "float16": 16.0, "bfloat16": 16.0, "half": 16.0, "fp8": 8.002,
    "fbgemm_fp8": 8.01, "int8": 8.01, "w8a8": 8.01, "bnb_8bit": 8.02, "awq": 4.16, "gptq": 4.16, "int4": 4.16,
    "w4a16": 4.16, "autoround": 4.16, "bnb_4bit": 4.5, "nvfp4": 4.5, "mxfp8": 8.25, "aqlm": 2.3, "hqq": 4.5,
}  # fmt: skip
_CACHE = {
    "auto": 16.0, "fp8": 8.0, "fp8_e4m3": 8.0, "fp8_e5m2": 8.0, "fp8_ds_mla": 8.0, "fp16": 16.0, "float16": 16.0,
    "bfloat16": 16.0, "fp32": 32.0, "float32": 32.0, "int8": 8.0,
}  # fmt: skip


def cache_bits(kv_type: str) -> tuple[float, float]:
    """Bits of a cached key and value of `kv_type`: one type for both, or `K/V`. Raises CONFIG_INVALID."""
    known = {**GGML_BITS, **_CACHE}
    parts = kv_type.lower().split("/", 1)
    for part in parts:
        if part not in known:
            raise StokerError("CONFIG_INVALID", f"There is no cache type `{safe(part, 40)}`.", _of(known))
    return known[parts[0]], known[parts[-1]]


def quantisation(name: str) -> Quantisation:
    """The storage that people call `name`: a type of GGUF files or a form of checkpoints. Raises CONFIG_INVALID."""
    word = _plain(name)
    if word in _MIXTURES:
        body, embedding, head = _MIXTURES[word]
        return Quantisation(word, body, GGML_BITS[embedding], GGML_BITS[head], fixed=max(16.0, body))
    if word == "mxfp4":
        return Quantisation(word, 16.0, 16.0, 16.0, experts=4.25)
    if word in _CHECKPOINT:
        bits = _CHECKPOINT[word]
        outside = max(16.0, bits)
        return Quantisation(word, bits, outside, outside, fixed=outside)
    known = [*_MIXTURES, *_CHECKPOINT, "mxfp4"]
    raise StokerError("CONFIG_INVALID", f"There is no quantisation `{safe(name, 40)}`.", _of(known))


def stored(fields: Fields, outer: Fields) -> Quantisation:
    """How a checkpoint is stored, from `quantization_config` and `torch_dtype`."""
    dtype = fields.text("torch_dtype", "dtype", default=outer.text("torch_dtype", "dtype", default="bfloat16"))
    plain = quantisation({"float32": "f32", "float": "f32"}.get(dtype.removeprefix("torch."), "bf16"))
    table = fields.table("quantization_config")
    if not table.data:
        return plain
    found = quantisation(_method(table))
    kept = [*table.items("modules_to_not_convert"), *table.items("ignore"), *table.items("exclude_modules")]
    patterns = " ".join(pattern for pattern in kept if isinstance(pattern, str))
    return replace(
        found,
        attention=16.0 if re.search(r"attn|attention", patterns) else None,
        shared=16.0 if "shared_expert" in patterns else None,
    )


def _method(table: Fields) -> str:
    method = table.text("quant_method", default=table.text("quant_algo", default="unknown")).lower()
    described = f"{method} {table.text('quant_algo')} {table.text('format')}".lower()
    if method in ("compressed-tensors", "modelopt", "quark", "auto-round", "unknown"):
        bits = _group_bits(table)
        if "fp4" in described or (method == "modelopt" and bits != 8):
            return "nvfp4"
        if bits is None and "fp8" not in described:
            return "fp8" if method == "modelopt" else "int4"
        return "int4" if bits == 4 else "fp8"
    if method == "bitsandbytes":
        return "bnb_8bit" if table.flag("load_in_8bit") else "bnb_4bit"
    if method in ("gptq", "awq", "hqq", "aqlm") and table.maybe("bits", least=1, most=16) == 8:
        return "int8"
    return method if method in (*_CHECKPOINT, "mxfp4") else "int4"


def _group_bits(table: Fields) -> int | None:
    groups = table.table("config_groups")
    for name in list(groups.data)[:16]:
        weights = groups.table(name).table("weights")
        if (bits := weights.maybe("num_bits", least=1, most=64)) is not None:
            return bits
    return None


def _plain(name: str) -> str:
    word = name.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("gguf_").removeprefix("ud_")
    word = re.sub(r"_r[48]$|_gguf$", "", word)
    renamed = {
        "w8a8_int8": "w8a8", "gptq_int4": "gptq", "gptq_int8": "int8", "bnb": "bnb_4bit", "fp8_e4m3": "fp8",
        "awq_int4": "awq", "none": "bf16", "auto_round": "autoround", "q3_k": "q3_k_m", "q4_k": "q4_k_m",
        "q5_k": "q5_k_m", "q2_k_xl": "q2_k", "q3_k_xl": "q3_k_l", "q4_k_xl": "q4_k_m", "q5_k_xl": "q5_k_m",
        "q6_k_xl": "q6_k", "q8_k_xl": "q8_0",
    }  # fmt: skip
    return renamed.get(word, word)


def _of(known: object) -> str:
    return f"Known: {', '.join(sorted(set(known)))}." if isinstance(known, dict | list) else ""
