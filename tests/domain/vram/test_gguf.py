"""Shapes of GGUF files whose layers are unlike each other, by their metadata and the names of their tensors."""

from typing import Any

import pytest

from app.domain.failures import StokerError
from app.domain.vram.estimate import estimate
from app.domain.vram.gguf import read_gguf
from app.domain.vram.gpus import MIB
from app.domain.vram.setup import Setup
from app.domain.vram.weights import Tensor, from_tensors

# A hybrid of the 9-billion class: of 32 layers every fourth attends.
HYBRID: dict[str, Any] = {
    "general.architecture": "qwen35", "qwen35.block_count": 32, "qwen35.embedding_length": 4096,
    "qwen35.feed_forward_length": 12288, "qwen35.attention.head_count": 16, "qwen35.attention.head_count_kv": 4,
    "qwen35.attention.key_length": 256, "qwen35.attention.value_length": 256, "qwen35.ssm.conv_kernel": 4,
    "qwen35.ssm.inner_size": 4096, "qwen35.ssm.state_size": 128, "qwen35.ssm.group_count": 16,
}  # fmt: skip
LATENT: dict[str, Any] = {
    "general.architecture": "deepseek2", "deepseek2.block_count": 2, "deepseek2.embedding_length": 2048,
    "deepseek2.attention.head_count": 16, "deepseek2.attention.head_count_kv": 1, "deepseek2.attention.key_length": 192,
    "deepseek2.attention.value_length": 128, "deepseek2.attention.kv_lora_rank": 512,
    "deepseek2.rope.dimension_count": 64, "deepseek2.nextn_predict_layers": 1,
}  # fmt: skip


def tensors(*names: str) -> list[Tensor]:
    return [Tensor(name, 64, 128) for name in ("token_embd.weight", *names)]


def hybrid() -> list[Tensor]:
    mixed = (f"blk.{i}.attn_k.weight" if i % 4 == 3 else f"blk.{i}.ssm_a" for i in range(32))
    return tensors(*mixed, *(f"blk.{i}.attn_qkv.weight" for i in range(32) if i % 4 != 3))


def test_layers_are_what_their_tensors_say() -> None:
    layers = read_gguf(HYBRID, hybrid()).layers
    assert [bool(layer.state) for layer in layers] == [i % 4 != 3 for i in range(32)]
    assert [bool(layer.key) for layer in layers] == [i % 4 == 3 for i in range(32)]


def test_states_are_those_that_llama_cpp_prints() -> None:
    shape = read_gguf(HYBRID, hybrid())
    weights = from_tensors(shape, hybrid())
    one = estimate(shape, weights, Setup("llama.cpp", 65_536, 1)).per_gpu[0]
    four = estimate(shape, weights, Setup("llama.cpp", 33_792, 4)).per_gpu[0]
    # Published logs of this class: 2048 and 50.25 MiB for one slot of 65,536, 4224 and 201 for four of 33,792.
    assert (one.kv / MIB, one.state / MIB) == (2048, 50.25)
    assert (four.kv / MIB, four.state / MIB) == (4224, 201)


@pytest.mark.parametrize(("new", "cached"), [(True, (576, 0)), (False, (16 * 192, 16 * 128))])
def test_files_from_before_latent_attention_cache_everything(new: bool, cached: tuple[int, int]) -> None:
    names = ["blk.0.attn_kv_a_mqa.weight", *(["blk.0.attn_k_b.weight"] if new else [])]
    layers = read_gguf(LATENT, tensors(*names)).layers
    # The second layer only speculates.
    assert [(layer.key, layer.value) for layer in layers] == [cached]


def test_what_generates_no_text_is_refused() -> None:
    for name in ("clip", "t5", ""):
        with pytest.raises(StokerError) as caught:
            read_gguf({"general.architecture": name}, [])
        assert caught.value.code == "ARCH_UNSUPPORTED"
