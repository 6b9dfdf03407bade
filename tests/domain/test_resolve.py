"""Asked again for another GPU: what it allows beyond what there is, or what would fit instead."""

from dataclasses import replace

import pytest

from app.domain.resolve import less, more
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import gpu_named
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Setup
from app.domain.vram.weights import by_parameters
from tests.domain.vram.configs import LLAMA

SHAPE = read_shape(LLAMA)
Q4 = by_parameters(SHAPE, quantisation("q4_k_m"))
KV_TYPES = ("f16", "q8_0", "q4_0")


def setup(gpu: str, context: int, seqs: int = 1) -> Setup:
    return Setup("llama.cpp", context, seqs=seqs, gpus=(gpu_named(gpu),), kv_type="f16")


def number(option: str) -> int:
    return int(option.rpartition(" ")[2])


def test_a_larger_gpu_allows_more() -> None:
    asked = setup("H100", 4_096)
    found = {each.option.partition(" ")[0]: each for each in more(SHAPE, Q4, asked)}
    assert number(found["--ctx"].option) == SHAPE.context
    seqs = number(found["--seqs"].option)
    assert seqs > 8
    assert estimate(SHAPE, Q4, replace(asked, seqs=seqs)).fits
    assert "instead of 4,096" in found["--ctx"].text


def test_what_is_used_to_the_full_allows_nothing() -> None:
    assert not list(more(SHAPE, Q4, setup("H100", SHAPE.context or 0, seqs=1_024)))


def test_a_smaller_gpu_says_what_would_fit_instead() -> None:
    asked = setup("RTX 4060", 65_536)
    assert not estimate(SHAPE, Q4, asked).fits
    found = {each.option.partition(" ")[0]: each for each in less(SHAPE, Q4, asked, KV_TYPES)}
    context = number(found["--ctx"].option)
    assert estimate(SHAPE, Q4, replace(asked, context=context)).fits
    assert not estimate(SHAPE, Q4, replace(asked, context=context + 256)).fits
    layers = int(found["--set"].option.rpartition("=")[2])
    assert estimate(SHAPE, Q4, replace(asked, flags={"n-gpu-layers": str(layers)})).fits


def test_a_cheaper_cache_is_offered_only_where_it_is_enough() -> None:
    one = setup("RTX 4060", 16_384)
    cheap = [each for each in less(SHAPE, Q4, replace(one, context=24_576), KV_TYPES) if "--kv-type" in each.option]
    assert all(estimate(SHAPE, Q4, replace(one, context=24_576, kv_type=each.option.split()[1])).fits for each in cheap)


def test_of_checkpoints_the_form_of_the_weights_that_fits_is_named() -> None:
    asked = Setup("vllm", 8_192, seqs=1, gpus=(gpu_named("RTX 3060"),))
    found = [str(each) for each in less(SHAPE, by_parameters(SHAPE), asked, ("auto", "fp8"))]
    assert "weights stored as awq" in found or "weights stored as fp8" in found


@pytest.mark.parametrize("gpu", ["RTX 4060", "RTX 3090", "H100"])
def test_every_option_can_be_given(gpu: str) -> None:
    asked = setup(gpu, 131_072, seqs=4)
    for each in (*more(SHAPE, Q4, asked), *less(SHAPE, Q4, asked, KV_TYPES)):
        assert not each.option or each.option.startswith("--")
        assert str(each).startswith(each.text)
