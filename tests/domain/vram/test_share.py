"""What an engine is given of a GPU: enough for what was asked, no more than is free, and never a blind nine tenths."""

from dataclasses import replace

import pytest

from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB, gpu_named
from app.domain.vram.setup import Setup
from app.domain.vram.share import share_of
from app.domain.vram.weights import by_parameters
from tests.domain.vram.configs import LLAMA

SHAPE = read_shape(LLAMA)
BF16 = by_parameters(SHAPE)
H100 = gpu_named("H100")


def setup(engine: str = "vllm", seqs: int = 1, free: float | None = None, tensor: int = 1) -> Setup:
    gpu = H100 if free is None else replace(H100, free=int(free * GIB))
    return Setup(engine, 8_192, seqs=seqs, gpus=(gpu,) * tensor, tensor=tensor)


def share(asked: Setup) -> float:
    found = share_of(SHAPE, BF16, asked)
    assert found is not None
    assert found[0] <= found[1] <= 1
    return found[0]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("seqs", [1, 4, 16])
def test_it_holds_all_sequences_and_little_more(engine: str, seqs: int) -> None:
    asked = setup(engine, seqs)
    claimed = replace(asked, utilisation=share(asked))
    (part,) = estimate(SHAPE, BF16, claimed).per_gpu
    wanted = seqs * (part.kv + part.state)
    assert wanted <= part.kv_room <= wanted + 3 * GIB
    assert estimate(SHAPE, BF16, claimed).fits


def test_more_at_once_takes_more_up_to_what_is_free() -> None:
    shares = [share(setup(seqs=seqs)) for seqs in (1, 8, 32, 256)]
    assert shares == sorted(shares)
    assert shares[0] < 0.3
    assert shares[-1] == 0.95
    assert share(setup(seqs=256, free=40)) * H100.total < 40 * GIB


def test_what_does_not_fit_is_not_made_to() -> None:
    asked = setup(free=10)
    assert not estimate(SHAPE, BF16, replace(asked, utilisation=share(asked))).fits


def test_gpus_that_share_a_model_need_less_each() -> None:
    assert share(setup(tensor=2)) < share(setup())


def test_nobody_else_is_given_a_share() -> None:
    assert share_of(SHAPE, BF16, setup("llama.cpp")) is None
    assert share_of(SHAPE, BF16, setup("transformers")) is None
    assert share_of(SHAPE, BF16, replace(setup(), gpus=())) is None
