"""What an attempt's own log says of the model, and the memory that ran out, as the fix card computes with it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.fitting import Card
from app.domain.variant import ModelRef, VariantSpec
from app.launch.memory import memory_of

MIB, GIB = 2**20, 2**30
PRINTED = """
0.00.206.904 I llama_model_loader: - kv   0:                       general.architecture str              = llama
0.00.206.932 I llama_model_loader: - kv   9:                          llama.block_count u32              = 30
0.00.206.933 I llama_model_loader: - kv  10:                       llama.context_length u32              = 8192
0.00.206.933 I llama_model_loader: - kv  11:                     llama.embedding_length u32              = 576
0.00.206.934 I llama_model_loader: - kv  12:                  llama.feed_forward_length u32              = 1536
0.00.206.934 I llama_model_loader: - kv  13:                 llama.attention.head_count u32              = 9
0.00.206.935 I llama_model_loader: - kv  14:              llama.attention.head_count_kv u32              = 3
0.00.206.951 I llama_model_loader: - kv  18:                           llama.vocab_size u32              = 49152
"""
"""As llama.cpp prints the metadata of the bundled model while it loads it."""


def spec(**changes: Any) -> VariantSpec:
    model = ModelRef("m.gguf", "file", "/m/m.gguf", size=98_362_432)
    return replace(VariantSpec(model, "llama.cpp", "process", 4096, 4, "f16", memory_limit=600 * MIB), **changes)


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    """The directory of an attempt that got as far as the model's metadata."""
    (tmp_path / "head.log").write_text(PRINTED)
    return tmp_path


def test_a_limit_of_host_memory(attempt: Path) -> None:
    memory = memory_of("HOST_OOM", spec(), "", attempt)
    assert memory is not None
    assert (memory.room, memory.called) == (600 * MIB, "allowed")
    # 22.5 KiB a token at 16 bits: what the engine itself prints for this model (360 MiB for 16,384 tokens).
    more = (memory.estimate(spec(context=8192)) or 0) - (memory.estimate(spec()) or 0)
    assert more == pytest.approx(360 * MIB, rel=0.05)
    half = (memory.estimate(spec()) or 0) - (memory.estimate(spec(kv_type="q8_0")) or 0)
    assert half == pytest.approx((1 - 1.0625 / 2) * 360 * MIB, rel=0.05)
    # It was seen to start at 388 MiB and not below.
    assert memory.estimate(spec(context=256, seqs=1)) == pytest.approx(388 * MIB, rel=0.2)


def test_without_a_limit_it_is_what_the_machine_has_left(attempt: Path) -> None:
    memory = memory_of("HOST_OOM", spec(memory_limit=None), "", attempt)
    assert memory is not None
    assert memory.called == "free"
    assert memory.room > 0


def test_a_card_that_the_engine_named(attempt: Path) -> None:
    said = (
        "CUDA out of memory. Tried to allocate 2.10 GiB. GPU 0 has a total capacity of 23.64 GiB"
        " of which 1.20 GiB is free."
    )
    memory = memory_of("OOM_KILLED", spec(engine="vllm"), said, attempt)
    assert memory is not None
    assert memory.room == int(23.64 * GIB)
    assert memory.short == pytest.approx(0.9 * GIB, rel=0.01)


def test_the_card_that_ran_out(attempt: Path) -> None:
    said = "alloc_buffer: allocating 720.00 MiB on device 0: cudaMalloc failed: out of memory"
    small, large = Card(0, 8 * GIB, 7 * GIB), Card(1, 24 * GIB, 20 * GIB)
    for cards in ([small], [small, large]):
        memory = memory_of("OOM_KILLED", spec(), said, attempt, cards)
        assert memory is not None
        assert (memory.room, memory.card) == (8 * GIB, 0)
    nameless = "cudaMalloc failed: out of memory"
    assert memory_of("OOM_KILLED", spec(), nameless, attempt, [small, large]) is None, "which of the two is not known"
    assert memory_of("OOM_KILLED", spec(), said, attempt) is None


@pytest.mark.parametrize(
    "printed",
    ["", "- kv 0: general.architecture str = llama", PRINTED.replace("= 9\n", "= 999999999\n"), "\x00" * 100],
)
def test_what_is_not_known_is_not_guessed(attempt: Path, printed: str) -> None:
    (attempt / "head.log").write_text(printed)
    assert memory_of("HOST_OOM", spec(), "", attempt) is None


def test_a_model_whose_layers_differ_is_not_taken_for_a_plain_one(attempt: Path) -> None:
    moe = "- kv  20:   llama.expert_count u32  = 8\n"
    (attempt / "head.log").write_text(PRINTED + moe)
    assert memory_of("HOST_OOM", spec(), "", attempt) is None


def test_other_codes_and_attempts_without_a_log_have_none(attempt: Path, tmp_path: Path) -> None:
    assert memory_of("BAD_FLAG", spec(), "", attempt) is None
    assert memory_of("HOST_OOM", spec(), "", tmp_path / "none") is None
