"""An estimate after something like it was measured here."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB, MIB, Gpu, gpu_named
from app.domain.vram.learning import place_of, settings_of
from app.domain.vram.peak import Learnt, Peak
from app.domain.vram.printed import Taken
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Setup
from app.domain.vram.solve import largest_context
from app.domain.vram.weights import by_parameters
from tests.domain.vram.configs import LLAMA

SHAPE = read_shape(LLAMA)
Q4 = by_parameters(SHAPE, quantisation("q4_k_m"))
SMALL = read_shape({**LLAMA, "num_hidden_layers": 16})
HOST = Gpu("this machine", 64 * GIB, host=True)
CARD = gpu_named("RTX 4090")


def setup(**more: Any) -> Setup:
    return replace(Setup("llama.cpp", 8_192, 1, gpus=(CARD,)), **more)


def measured(setup: Setup, *taken: Taken, **more: Any) -> Setup:
    """`setup` after a start with its settings was seen to take so much."""
    peak = Peak(
        start="a",
        engine=setup.engine,
        version="1",
        architecture=SHAPE.kind,
        quantisation=Q4.quantisation,
        place=place_of(setup) or "",
        weights=int(Q4.total),
        settings=json.loads(json.dumps(settings_of(setup))),
        taken=taken,
        busy=True,
        at=1,
    )
    return replace(setup, peaks=(*setup.peaks, replace(peak, **more)))


PLAIN = estimate(SHAPE, Q4, setup())
PART = PLAIN.per_gpu[0]
SEEN = Taken(
    weights=PART.weights + 7 * MIB,
    kv=PART.kv,
    activation=PART.activation - 11 * MIB,
    total=PART.total + 5 * MIB,
)


def test_the_very_settings_take_what_they_were_seen_to_take() -> None:
    found = estimate(SHAPE, Q4, measured(setup(), SEEN))
    assert found.total == SEEN.total
    part = found.per_gpu[0]
    assert (part.weights, part.kv, part.activation) == (SEEN.weights, SEEN.kv, SEEN.activation)
    assert found.learnt == Learnt("settings", 1, busy=True)
    assert found.band[1] - found.band[0] < (PLAIN.band[1] - PLAIN.band[0]) / 3


def test_the_most_of_several_starts_counts() -> None:
    more = replace(SEEN, total=(SEEN.total or 0) + 40 * MIB)
    asked = measured(measured(setup(), SEEN), more, start="b", at=2)
    found = estimate(SHAPE, Q4, asked)
    assert found.total == more.total
    assert found.learnt == Learnt("settings", 2, busy=True)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("gpu", [CARD, HOST])
@pytest.mark.parametrize("change", [{}, {"context": 4_096}, {"context": 16_384, "seqs": 2}, {"kv_type": "q8_0"}])
def test_a_peak_above_the_estimate_raises_it(busy: bool, gpu: Gpu, change: dict[str, Any]) -> None:
    asked = replace(setup(gpus=(gpu,)), **change)
    plain = estimate(SHAPE, Q4, asked)
    base = estimate(SHAPE, Q4, setup(gpus=(gpu,))).per_gpu[0]
    more = Taken(base.weights, base.kv, None, base.activation, total=base.total + 300 * MIB)
    peaks = measured(setup(gpus=(gpu,)), more, busy=busy).peaks
    assert estimate(SHAPE, Q4, replace(asked, peaks=peaks)).total >= plain.total + 299 * MIB


@pytest.mark.parametrize(
    ("gpu", "busy"), [(HOST, True), (CARD, False)], ids=["resident memory", "a driver before any request"]
)
def test_what_may_still_grow_lowers_nothing(gpu: Gpu, busy: bool) -> None:
    base = estimate(SHAPE, Q4, setup(gpus=(gpu,)))
    less = Taken(total=base.total - 200 * MIB)
    assert estimate(SHAPE, Q4, measured(setup(gpus=(gpu,)), less, busy=busy)).total == base.total


def test_with_other_settings_only_weights_and_what_is_beside_carry_over() -> None:
    peaks = measured(setup(), replace(SEEN, kv=PART.kv * 2, total=PART.total + PART.kv + 90 * MIB)).peaks
    asked = setup(context=16_384, seqs=2)
    plain, found = estimate(SHAPE, Q4, asked), estimate(SHAPE, Q4, replace(asked, peaks=peaks))
    before, after = plain.per_gpu[0], found.per_gpu[0]
    assert (after.kv, after.state, after.activation) == (before.kv, before.state, before.activation)
    assert after.weights == SEEN.weights
    assert after.overhead == before.overhead + (90 - 7 + 11) * MIB
    assert found.learnt == Learnt("model", 1, busy=True)
    assert "with other settings" in found.learnt.words


def test_weights_that_were_placed_otherwise_say_nothing() -> None:
    asked = setup(flags={"n-gpu-layers": "10"}, peaks=measured(setup(), SEEN).peaks)
    found = estimate(SHAPE, Q4, asked)
    assert found.per_gpu[0].weights == estimate(SHAPE, Q4, replace(asked, peaks=())).per_gpu[0].weights
    assert found.learnt == Learnt("kind", 1, busy=True)


def test_of_another_model_of_its_kind_only_what_is_beside_carries_over() -> None:
    weights = by_parameters(SMALL, quantisation("q4_k_m"))
    raised = replace(SEEN, total=PART.total + 500 * MIB)
    plain = estimate(SMALL, weights, setup())
    found = estimate(SMALL, weights, setup(peaks=measured(setup(), raised).peaks))
    assert found.total - plain.total == found.per_gpu[0].overhead - plain.per_gpu[0].overhead > 490 * MIB
    assert found.learnt == Learnt("kind", 1, busy=True)


@pytest.mark.parametrize(
    "other",
    [{"engine": "vllm"}, {"architecture": "qwen3"}, {"quantisation": "q8_0"}, {"place": "H100"}, {"place": "host"}],
)
def test_what_is_of_another_kind_says_nothing(other: dict[str, str]) -> None:
    found = estimate(SHAPE, Q4, measured(setup(), SEEN, **other))
    assert found == PLAIN


def test_the_last_version_of_an_engine_counts_or_the_one_asked_for() -> None:
    old = measured(setup(), SEEN, version="0.9.1", at=1)
    both = measured(old, replace(SEEN, total=(SEEN.total or 0) + 64 * MIB), version="0.11.0", at=2)
    assert estimate(SHAPE, Q4, both).total == (SEEN.total or 0) + 64 * MIB
    assert estimate(SHAPE, Q4, replace(both, version=(0, 9))).total == SEEN.total
    assert estimate(SHAPE, Q4, replace(both, version=(0, 8))) == PLAIN


def test_a_driver_knows_the_gpu_by_a_longer_name() -> None:
    peaks = measured(setup(), SEEN).peaks
    asked = setup(gpus=(replace(CARD, name="NVIDIA GeForce RTX 4090"),), peaks=peaks)
    assert estimate(SHAPE, Q4, asked).total == SEEN.total


def test_the_room_of_vllm_is_the_one_that_it_found() -> None:
    asked = Setup("vllm", 8_192, gpus=(gpu_named("H100"),))
    plain = estimate(SHAPE, Q4, asked)
    room = plain.per_gpu[0].kv_room - GIB
    found = estimate(SHAPE, Q4, measured(asked, Taken(weights=plain.per_gpu[0].weights, room=room)))
    assert found.per_gpu[0].kv_room == room
    assert found.kv_tokens * found.kv_bytes_per_token == pytest.approx(room, rel=0.01)
    assert found.per_gpu[0].reserved == plain.per_gpu[0].reserved


def test_heavier_weights_leave_vllm_less_room_for_another_context() -> None:
    asked = Setup("vllm", 8_192, gpus=(gpu_named("H100"),))
    peaks = measured(asked, Taken(weights=int(Q4.total) + GIB)).peaks
    longer = replace(asked, context=16_384)
    plain, found = (estimate(SHAPE, Q4, each).per_gpu[0] for each in (longer, replace(longer, peaks=peaks)))
    assert found.weights - plain.weights == plain.kv_room - found.kv_room > 0


def test_what_is_solved_backwards_counts_what_was_measured() -> None:
    tight = setup(gpus=(replace(CARD, free=8 * GIB),))
    more = Taken(PART.weights, PART.kv, None, PART.activation, total=PART.total + GIB)
    plain, found = (largest_context(SHAPE, Q4, each) for each in (tight, measured(tight, more)))
    assert plain is not None
    assert found is not None
    assert found < plain
    assert estimate(SHAPE, Q4, replace(measured(tight, more), context=found)).fits


def test_settings_that_come_to_the_same_are_the_same() -> None:
    one = Setup("llama.cpp", 4_096, 1, kv_type="f16", flags={"temp": "1", "swa-full": False})
    other = Setup("llama.cpp", 4_096, kv_type="auto")
    assert settings_of(one) == settings_of(other) == json.loads(json.dumps(settings_of(other)))
    assert settings_of(replace(other, kv_type="f16/q8_0")) != settings_of(other)


def test_two_gpus_are_corrected_each_by_its_own() -> None:
    asked = setup(pipeline=2)
    parts = estimate(SHAPE, Q4, asked).per_gpu
    seen = [Taken(p.weights, p.kv, None, p.activation, total=p.total + i * MIB) for i, p in enumerate(parts)]
    found = estimate(SHAPE, Q4, measured(asked, *seen))
    assert [after.total - before.total for after, before in zip(found.per_gpu, parts, strict=True)] == [0, MIB]
