"""GGUF and safetensors files made by hand: a header as the formats describe it, and as many bytes as it claims."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Entry = tuple[int, Any]
"""Type of a GGUF value, and the value; of a list, the type of its entries with a list of them."""


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(kind: int, content: Any) -> bytes:
    if kind == 8:
        return text(content)
    if kind == 9:
        inner, items = content
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack({4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q"}[kind], content)


def gguf(
    entries: Mapping[str, Entry], tensors: Sequence[tuple[str, Sequence[int], int, int]], version: int = 3
) -> bytes:
    """A header. A tensor is its name, dimensions, type and the place of its data behind the header."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    body = b"".join(
        text(key) + struct.pack("<I", kind) + value(kind, content) for key, (kind, content) in entries.items()
    )
    table = b"".join(
        text(name)
        + struct.pack("<I", len(shape))
        + struct.pack(f"<{len(shape)}Q", *shape)
        + struct.pack("<IQ", kind, at)
        for name, shape, kind, at in tensors
    )
    return head + body + table


LLAMA: dict[str, Entry] = {
    "general.architecture": (8, "llama"), "llama.block_count": (4, 2), "llama.embedding_length": (4, 64),
    "llama.feed_forward_length": (4, 128), "llama.attention.head_count": (4, 4),
    "llama.attention.head_count_kv": (4, 2), "llama.context_length": (4, 512),
    "tokenizer.ggml.tokens": (9, (8, ["a", "b", "c"] * 32)), "general.alignment": (4, 32),
}  # fmt: skip
_MATRICES = (
    ("attn_q", (64, 64)), ("attn_k", (64, 32)), ("attn_v", (64, 32)), ("attn_output", (64, 64)),
    ("ffn_up", (64, 128)), ("ffn_gate", (64, 128)), ("ffn_down", (128, 64)),
)  # fmt: skip


def small_gguf(entries: Mapping[str, Entry] = LLAMA, tied: bool = True) -> bytes:
    """A whole file of two layers in 16 bits."""
    shapes: list[tuple[str, Sequence[int]]] = [("token_embd.weight", (64, 96))]
    shapes += [] if tied else [("output.weight", (64, 96))]
    shapes += [(f"blk.{i}.{name}.weight", shape) for i in range(2) for name, shape in _MATRICES]
    tensors, at = [], 0
    for name, shape in shapes:
        tensors.append((name, shape, 1, at))
        at += 2 * shape[0] * shape[1]
    head = gguf(entries, tensors)
    return head + bytes(-len(head) % 32) + bytes(at)


CONFIG: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 96, "max_position_embeddings": 512,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
}  # fmt: skip


def safetensors(tensors: Mapping[str, Sequence[int]], kind: str = "BF16", size: int = 2) -> bytes:
    """A whole file of tensors that all have the same type, of `size` bytes a number."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        count = size
        for length in shape:
            count *= length
        table[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + count]}
        at += count
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + bytes(at)


def layer(index: int) -> dict[str, Sequence[int]]:
    """The tensors of one layer of CONFIG."""
    names = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
             "self_attn.o_proj": (64, 64), "mlp.up_proj": (128, 64), "mlp.gate_proj": (128, 64),
             "mlp.down_proj": (64, 128), "input_layernorm": (64,)}  # fmt: skip
    return {f"model.layers.{index}.{name}.weight": shape for name, shape in names.items()}


def files_of_a_folder() -> dict[str, bytes]:
    """A folder of a small model in two parts with their index."""
    first = {"model.embed_tokens.weight": (96, 64), **layer(0)}
    index = {
        "metadata": {"total_size": 0},
        "weight_map": {
            **dict.fromkeys(first, "model-00001-of-00002.safetensors"),
            **dict.fromkeys(layer(1), "model-00002-of-00002.safetensors"),
        },
    }
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-00001-of-00002.safetensors": safetensors(first),
        "model-00002-of-00002.safetensors": safetensors(layer(1)),
    }


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """`folder` with the files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
