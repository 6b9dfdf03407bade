"""A Llama of 112 thousand random parameters, written without any library: what it says is nonsense, and real tokens."""

import json
import random
import struct
from pathlib import Path

WIDTH, INNER, LAYERS, HEADS, HEAD_DIM, CONTEXT = 64, 128, 2, 2, 32, 512
_SPECIAL = ("<|im_start|>", "<|im_end|>", "<|pad|>")
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _bytes_as_characters() -> list[str]:
    """The printable character that byte-level tokenizers have for each byte (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def _tokenizer() -> dict[str, object]:
    added = [
        {"id": 256 + n, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for n, word in enumerate(_SPECIAL)
    ]  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {character: byte for byte, character in enumerate(_bytes_as_characters())}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary | {word: 256 + n for n, word in enumerate(_SPECIAL)}, "merges": []},
    }  # fmt: skip


def _tensors(words: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        for part in ("q", "k", "v", "o"):
            shapes[f"{name}self_attn.{part}_proj.weight"] = (WIDTH, WIDTH)
        for part in ("gate", "up"):
            shapes[f"{name}mlp.{part}_proj.weight"] = (INNER, WIDTH)
        shapes[f"{name}mlp.down_proj.weight"] = (WIDTH, INNER)
        shapes[f"{name}input_layernorm.weight"] = shapes[f"{name}post_attention_layernorm.weight"] = (WIDTH,)
    return shapes | {"lm_head.weight": (words, WIDTH)}


def write(folder: Path) -> Path:
    """Config, tokenizer and weights (float32) in `folder`, as `save_pretrained` would leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    words = 256 + len(_SPECIAL)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HEAD_DIM,
        "vocab_size": words, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": 256,
        "eos_token_id": 257, "pad_token_id": 258, "attention_bias": False, "mlp_bias": False,
    }  # fmt: skip
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": _SPECIAL[0], "eos_token": _SPECIAL[1],
            "pad_token": _SPECIAL[2], "chat_template": _TEMPLATE, "model_max_length": CONTEXT}  # fmt: skip
    for name, document in (("config.json", config), ("tokenizer.json", _tokenizer()), ("tokenizer_config.json", told)):
        (folder / name).write_text(json.dumps(document), "utf-8")
    luck = random.Random(7)  # noqa: S311 # weights, not secrets
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, shape in _tensors(words).items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * count if len(shape) == 1 else [luck.gauss(0.0, 0.05) for _ in range(count)]
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *values)
    head = json.dumps(table).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(data))
    return folder
