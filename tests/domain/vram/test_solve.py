from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.failures import StokerError
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB, Gpu, gpu_named, gpu_of
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Setup
from app.domain.vram.solve import best_quantisation, largest_context, most_layers, most_sequences
from app.domain.vram.weights import by_parameters
from tests.domain.vram.configs import LLAMA, PUBLISHED

SHAPE = read_shape(LLAMA)
Q4 = by_parameters(SHAPE, quantisation("q4_k_m"))
BF16 = by_parameters(SHAPE)


def llama(gib: float, context: int = 8_192, **more: Any) -> Setup:
    return replace(Setup("llama.cpp", context, gpus=(gpu_of(int(gib * GIB)),)), **more)


def test_the_largest_context_fits_and_the_next_does_not() -> None:
    setup = llama(8)
    context = largest_context(SHAPE, Q4, setup)
    assert context is not None
    assert 8_192 < context < 131_072
    assert estimate(SHAPE, Q4, replace(setup, context=context)).fits
    assert not estimate(SHAPE, Q4, replace(setup, context=context + 256)).fits


def test_a_smaller_cache_type_holds_a_longer_context() -> None:
    plain, small = (largest_context(SHAPE, Q4, llama(8, kv_type=kind)) for kind in ("f16", "q8_0"))
    assert plain is not None
    assert small is not None
    assert 1.6 * plain < small < 2 * plain


def test_nothing_fits_where_the_weights_do_not() -> None:
    assert largest_context(SHAPE, BF16, llama(8)) == 0
    assert most_sequences(SHAPE, BF16, llama(8)) == 0
    assert best_quantisation(SHAPE, llama(2)) is None


def test_nothing_is_solved_without_a_gpu() -> None:
    setup = Setup("llama.cpp", 4_096)
    assert largest_context(SHAPE, Q4, setup) is None
    assert most_sequences(SHAPE, Q4, setup) is None
    assert most_layers(SHAPE, Q4, setup) is None
    assert estimate(SHAPE, Q4, setup).fits is None


def test_the_models_own_context_is_the_most() -> None:
    assert largest_context(SHAPE, Q4, llama(80)) == 131_072


def test_layers_are_offloaded_as_far_as_they_fit() -> None:
    layers = most_layers(SHAPE, BF16, llama(8))
    assert layers is not None
    assert 5 < layers < 20
    flags = {"n-gpu-layers": str(layers)}
    found = estimate(SHAPE, BF16, llama(8, flags=flags))
    assert found.fits
    assert found.host > 8 * GIB


@pytest.mark.parametrize(("gib", "best"), [(24, "f16"), (12, "q8_0"), (7, "q6_k"), (5.8, "q4_k_m")])
def test_the_best_quantisation_that_fits(gib: float, best: str) -> None:
    assert best_quantisation(SHAPE, llama(gib)) == best


def test_sequences_of_vllm_are_what_its_room_holds() -> None:
    setup = Setup("vllm", 8_192, gpus=(gpu_named("RTX 4090"),), batch_tokens=2_048)
    found = estimate(SHAPE, BF16, setup)
    most = most_sequences(SHAPE, BF16, setup)
    assert found.fits
    assert most == found.per_gpu[0].kv_room // found.per_gpu[0].kv > 1


def test_vllm_claims_a_share_whatever_is_needed() -> None:
    found = estimate(SHAPE, BF16, Setup("vllm", 8_192, gpus=(gpu_named("H100 80GB"),)))
    part = found.per_gpu[0]
    assert part.reserved == int(gpu_named("H100 80GB").total * 0.9)
    assert part.total < part.reserved
    assert found.kv_tokens * found.kv_bytes_per_token == pytest.approx(part.kv_room, rel=0.001)


def test_a_neighbour_on_the_card_makes_vllm_fail() -> None:
    gpu = replace(gpu_named("H100 80GB"), free=60 * GIB)
    found = estimate(SHAPE, BF16, Setup("vllm", 8_192, gpus=(gpu,)))
    assert found.fits is False
    assert "would claim" in found.why


def test_heads_of_the_cache_are_repeated_beyond_their_number() -> None:
    eight, sixteen = (estimate(SHAPE, BF16, Setup("vllm", 8_192, tensor=n)).per_gpu[0].kv for n in (8, 16))
    assert eight == sixteen


def test_a_latent_vector_is_on_every_rank() -> None:
    shape = read_shape(PUBLISHED["minicpm3 (latent attention)"][0])
    one, four = (estimate(shape, by_parameters(shape), Setup("vllm", 8_192, tensor=n)).per_gpu[0] for n in (1, 4))
    assert one.kv == four.kv
    assert four.weights < one.weights


def test_a_split_by_layers_is_uneven() -> None:
    first, second = estimate(SHAPE, Q4, Setup("llama.cpp", 8_192, pipeline=2)).per_gpu
    assert first.kv > second.kv
    assert first.kv + second.kv == estimate(SHAPE, Q4, Setup("llama.cpp", 8_192)).per_gpu[0].kv


def test_layers_that_speculate_cost_weights_and_cache_once_they_are_used() -> None:
    shape = read_shape({**LLAMA, "num_nextn_predict_layers": 2})
    weights = by_parameters(shape)
    flags = {"num-speculative-tokens": "2"}
    plain = estimate(shape, weights, Setup("vllm", 4_096)).per_gpu[0]
    drafting = estimate(shape, weights, Setup("vllm", 4_096, flags=flags)).per_gpu[0]
    assert drafting.kv * 32 == plain.kv * 34
    assert drafting.weights > plain.weights


def test_unified_memory_keeps_eight_gib_for_the_system() -> None:
    gpu = Gpu("M", 16 * GIB, unified=True)
    assert gpu.room == 8 * GIB
    assert replace(gpu, free=4 * GIB).room == 4 * GIB


def test_attention_without_flash_is_paid_for() -> None:
    without, with_it = (
        estimate(SHAPE, Q4, Setup("llama.cpp", 32_768, flash_attention=on)).per_gpu[0] for on in (False, True)
    )
    assert without.activation > 8 * with_it.activation


@pytest.mark.parametrize(
    "setup",
    [
        Setup("dreams", 4_096),
        Setup("vllm", 4_096, tensor=3),
        Setup("vllm", 4_096, pipeline=64),
        Setup("vllm", 4_096, kv_type="q3"),
        Setup("llama.cpp", 4_096, flags={"n-gpu-layers": "many"}),
    ],
)
def test_what_cannot_be_started_is_refused(setup: Setup) -> None:
    with pytest.raises(StokerError) as caught:
        estimate(SHAPE, BF16, setup)
    assert caught.value.code in ("CONFIG_INVALID", "BAD_FLAG")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H100 80GB", "H100 80GB"), ("NVIDIA GeForce RTX 4090", "RTX 4090"), ("4090", "RTX 4090"),
        ("rtx3090", "RTX 3090"), ("RTX 3060 12GB", "RTX 3060"), ("A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("Apple M3 Max 64 GB", "M3 MAX"), ("Tesla T4", "T4"), ("RTX 2060 12GB", "RTX 2060 12GB"),
    ],
)  # fmt: skip
def test_gpus_are_known_by_the_names_that_people_and_drivers_use(name: str, found: str) -> None:
    assert gpu_named(name).name == found


@pytest.mark.parametrize("name", ["", "Voodoo 2", "RTX 3090 48GB", "\x1b[31m"])
def test_an_unknown_gpu_is_refused(name: str) -> None:
    with pytest.raises(StokerError, match="is no GPU that is known"):
        gpu_named(name)


@given(
    st.sampled_from(sorted(PUBLISHED)),
    st.sampled_from(["llama.cpp", "vllm", "sglang", "transformers"]),
    st.integers(1, 32_768),
    st.integers(1, 64),
    st.sampled_from(["auto", "f16", "q8_0", "fp8"]),
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_more_is_never_less(name: str, engine: str, context: int, seqs: int, kv_type: str) -> None:
    shape = read_shape(PUBLISHED[name][0])
    weights = by_parameters(shape)
    setup = Setup(engine, context, seqs, kv_type=kv_type)
    small = estimate(shape, weights, setup)
    for larger in (replace(setup, context=2 * context), replace(setup, seqs=2 * seqs)):
        assert estimate(shape, weights, larger).total >= small.total
    assert all(
        part.total == part.weights + part.kv + part.state + part.activation + part.overhead for part in small.per_gpu
    )
