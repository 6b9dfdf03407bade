"""The options that a failure is answered with: the numbers in them, what is not offered, and what is safe to copy."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.failures import CATALOGUE
from app.domain.fitting import Card, Memory, smaller_context
from app.domain.fix import MOST, Fix, Situation
from app.domain.fixes import change_of, options
from app.domain.variant import ModelRef, VariantSpec

MIB = 2**20
KV_TYPES = ("f16", "q8_0", "q4_0")
BYTES = {"f16": 2.0, "q8_0": 1.0625, "q4_0": 0.5625, "fp8": 1.0}


def spec(**changes: Any) -> VariantSpec:
    plain = VariantSpec(
        ModelRef("m-Q8_0.gguf", "file", "/m/m-Q8_0.gguf", size=200 * MIB), "llama.cpp", "process", 4096, 4, "f16"
    )
    return replace(plain, **changes)


def estimate(given: VariantSpec) -> int:
    """Weights, 12 KiB a token at 16 bits, and 300 MiB for the rest."""
    cache = given.context * given.seqs * 6_144 * BYTES[given.kv_type]
    return (given.model.size or 0) + int(cache) + 300 * MIB


def situation(code: str, failed: VariantSpec | None = None, **known: Any) -> Situation:
    return Situation("demo", code, failed or spec(), **known)


def out_of(room: int, failed: VariantSpec, short: int = 0, **known: Any) -> list[Fix]:
    memory = Memory(room, estimate, "allowed", short)
    return options(situation("HOST_OOM", failed, memory=memory, kv_types=KV_TYPES, **known))


def titled(found: list[Fix], start: str) -> Fix:
    return next(fix for fix in found if fix.title.startswith(start))


def test_less_memory_in_every_way_that_fits_and_none_that_does_not() -> None:
    failed = spec(memory_limit=600 * MIB)
    found = out_of(600 * MIB, failed)
    assert [fix.k for fix in found] == list(range(1, len(found) + 1))
    first = found[0]
    assert first.spec is not None
    assert first.title == f"context 4096 → {first.spec.context}"
    assert first.spec == replace(failed, context=first.spec.context)
    assert estimate(first.spec) <= 600 * MIB < estimate(replace(first.spec, context=first.spec.context + 512))
    assert "of 600 MiB allowed" in first.detail
    cache = titled(found, "KV cache ").spec
    assert cache == replace(failed, kv_type="q4_0"), "the best one that fits, alone"
    fewer = titled(found, "4 sequences at once → ").spec
    assert fewer is not None
    assert fewer.seqs == 1
    more = titled(found, "memory 600 → ").spec
    assert more is not None
    assert more.memory_limit is not None
    assert more.memory_limit >= estimate(failed)
    for fix in found:
        assert fix.spec is not None
        assert estimate(fix.spec) <= (fix.spec.memory_limit or 0)


def test_what_no_change_of_size_can_mend_gets_more_memory_first() -> None:
    found = out_of(400 * MIB, spec(context=256, seqs=1, memory_limit=400 * MIB))
    assert [fix.title.partition(" ")[0] for fix in found] == ["memory"]


def test_a_failure_corrects_an_estimate_that_says_it_fits() -> None:
    failed = spec(context=2048, seqs=1, memory_limit=900 * MIB)
    assert estimate(failed) < 900 * MIB
    found = out_of(900 * MIB, failed, short=50 * MIB)
    more = titled(found, "memory 900").spec
    assert more is not None
    assert more.memory_limit is not None
    assert more.memory_limit >= 950 * MIB
    assert not any(fix.spec == failed for fix in found)


def test_another_gpu_with_room_for_it_as_it_is() -> None:
    failed = spec(context=8192)
    cards = [Card(0, 600 * MIB, 50 * MIB), Card(1, 600 * MIB, 500 * MIB), Card(2, 2_000 * MIB, 1_500 * MIB)]
    memory = Memory(600 * MIB, estimate, "on the card", card=0)
    found = options(situation("OOM_KILLED", failed, memory=memory, cards=cards, kv_types=KV_TYPES))
    moved = titled(found, "move to GPU 2")
    assert moved.spec == replace(failed, flags={"split-mode": "none", "main-gpu": "2"})
    assert "of 1.5 GiB free there" in moved.detail
    none = options(situation("OOM_KILLED", failed, memory=memory, cards=cards[:2]))
    assert not any(fix.title.startswith("move") for fix in none)


def test_a_container_is_given_another_gpu() -> None:
    cards = [Card(0, 600 * MIB, 50 * MIB), Card(1, 2_000 * MIB, 1_500 * MIB)]
    failed = spec(context=8192, engine="vllm", backend="docker", gpus="0")
    # What the engine calls GPU 0 is the first that its container has.
    memory = Memory(600 * MIB, estimate, "on the card", card=0)
    found = options(situation("OOM_KILLED", failed, memory=memory, cards=cards))
    assert titled(found, "move to GPU 1").spec == replace(failed, gpus="1")
    for gpus in ("1", "0,1", "all"):
        several = options(situation("OOM_KILLED", replace(failed, gpus=gpus), memory=memory, cards=cards))
        assert not any(fix.title.startswith("move") for fix in several)


def test_without_an_estimate_it_says_so() -> None:
    found = options(situation("OOM_KILLED", kv_types=KV_TYPES))
    assert found[0].title == "context 4096 → 2048"
    assert "nothing is known to compute with" in found[0].detail
    assert not any("needs" in fix.detail for fix in found)


def test_a_smaller_file_of_the_same_model() -> None:
    small = ModelRef("m-Q4_0.gguf", "file", "/m/m-Q4_0.gguf", size=100 * MIB)
    large = ModelRef("m-F16.gguf", "file", "/m/m-F16.gguf", size=400 * MIB)
    found = out_of(720 * MIB, spec(context=6144), siblings=(large, small))
    picked = titled(found, "model ").spec
    assert picked is not None
    assert picked.model == small


@given(st.integers(512, 40_000), st.integers(1, 8), st.integers(300, 3_000), st.sampled_from(KV_TYPES))
def test_what_is_offered_always_fits(context: int, seqs: int, room: int, kv_type: str) -> None:
    failed = spec(context=context, seqs=seqs, kv_type=kv_type, memory_limit=room * MIB)
    for fix in out_of(room * MIB, failed):
        assert fix.spec is not None
        assert fix.spec != failed
        assert estimate(fix.spec) <= (fix.spec.memory_limit or 0)
        assert change_of(failed, fix.spec)


@given(st.integers(600, 40_000), st.integers(300, 3_000))
def test_the_context_offered_is_the_largest(context: int, room: int) -> None:
    memory = Memory(room * MIB, estimate).after(failed := spec(context=context, seqs=1))
    if memory.fits(failed):
        return
    found = smaller_context(failed, memory)
    if found is None:
        assert context <= 512 or not memory.fits(replace(failed, context=512))
    else:
        more = found.context + 256
        assert more >= context or not memory.fits(replace(failed, context=more))


def test_the_nearest_flag_takes_the_value_along() -> None:
    failed = spec(flags={"seed": "1", "thread": "2"})
    found = options(
        situation("BAD_FLAG", failed, evidence="error: invalid argument: --thread (the nearest is --threads)")
    )
    assert [fix.title for fix in found] == ["thread → threads 2", "without thread"]
    assert found[0].spec == replace(failed, flags={"seed": "1", "threads": "2"})
    assert found[1].spec == replace(failed, flags={"seed": "1"})


def test_a_flag_is_found_among_those_of_the_engine_if_it_names_none() -> None:
    failed = spec(engine="vllm", flags={"enforce-eagre": True})
    known = ("max-model-len", "enforce-eager")
    said = "vllm: error: unrecognized arguments: --enforce-eagre"
    assert options(situation("BAD_FLAG", failed, evidence=said, flags=known))[0].spec == replace(
        failed, flags={"enforce-eager": True}
    )


def test_a_wrong_value_is_replaced_or_left_out() -> None:
    failed = spec(flags={"n-gpu-layers": "lots"})
    said = "error: invalid value for --n-gpu-layers: 'lots' is not a whole number"
    assert [fix.title for fix in options(situation("BAD_FLAG", failed, evidence=said))] == ["without n-gpu-layers"]
    failed = spec(engine="vllm", flags={"dtype": "bfloat"})
    said = "error: argument --dtype: invalid choice: 'bfloat' (choose from 'auto', 'bfloat16', 'float16')"
    assert options(situation("BAD_FLAG", failed, evidence=said))[0].spec == replace(failed, flags={"dtype": "bfloat16"})


def test_a_port_is_left_to_the_engine_or_replaced() -> None:
    failed = spec(flags={"port": "8080"})
    found = options(situation("PORT_IN_USE", failed, free_port=8081))
    assert [fix.spec for fix in found[:2]] == [spec(), spec(flags={"port": "8081"})]
    assert found[2].command == "ss -ltnp 'sport = :8080'"


def test_files_are_fetched_found_or_replaced() -> None:
    assert options(situation("MODEL_LOAD_ERROR", fetched=True))[0].refetch
    back = options(situation("MUST_REDOWNLOAD", returned=True))
    assert (back[0].title, back[0].spec) == ("start again", None)
    moved = ModelRef("m-Q8_0.gguf", "file", "/n/m-Q8_0.gguf", size=200 * MIB)
    other = ModelRef("m-Q4_0.gguf", "file", "/m/m-Q4_0.gguf", size=100 * MIB)
    found = options(situation("MUST_REDOWNLOAD", siblings=(other, moved)))
    assert [fix.spec.model for fix in found if fix.spec] == [moved, other]


def test_an_engine_that_may_know_the_architecture() -> None:
    other = spec(engine="vllm", backend="docker", gpus="0", kv_type="auto")
    found = options(situation("ARCH_UNSUPPORTED", engines=(other,)))
    assert (found[0].title, found[0].spec) == ("engine vllm", other)
    assert found[1].command == "pip install --upgrade xllamacpp"


def test_vllms_own_words_are_numbers() -> None:
    said = "the estimated maximum model length is 20016. Try increasing `gpu_memory_utilization` or decreasing"
    failed = spec(engine="vllm", context=32_768)
    first = options(situation("OOM_KILLED", failed, evidence=said))[0]
    assert first.title == "context 32768 → 19968"
    said = "Free memory on device cuda:0 (17.2/23.6 GiB) on startup is less than desired GPU memory utilization"
    found = options(situation("OOM_KILLED", spec(engine="vllm"), evidence=said))
    assert found[0].title == "gpu-memory-utilization 0.9 → 0.71"


def test_a_start_that_took_too_long_has_less_to_do() -> None:
    titles = [fix.title for fix in options(situation("STARTUP_TIMEOUT", spec(engine="vllm")))]
    assert titles == ["context 4096 → 2048", "eager start (enforce-eager)", "start again"]
    quiet = "no line, no byte and no memory taken for 300 s, since 10:00:00 UTC"
    assert options(situation("STARTUP_TIMEOUT", evidence=quiet))[-1].command == "server.start_stall = 600"
    late = "not ready 1200 s after its start at 10:00:00 UTC"
    assert options(situation("STARTUP_TIMEOUT", evidence=late))[-1].command == "server.start_ceiling = 2400"


@pytest.mark.parametrize("code", ["CUDA_ERROR", "GPU_ACCESS", "DISK_FULL", "KILLED_EXTERNALLY", "ENTRYPOINT_MISSING"])
def test_the_hosts_commands_are_there_to_copy(code: str) -> None:
    found = options(situation(code, install="pip install 'stoker[local]'"))
    assert any(fix.command == fix.detail != "" for fix in found)
    assert any(not fix.command for fix in found), "and then it can be started"


def test_nothing_that_an_engine_prints_becomes_part_of_a_command() -> None:
    hostile = "0; rm -rf / $(reboot) `id`"
    failed = spec(flags={"port": hostile})
    for code in CATALOGUE:
        for fix in options(situation(code, failed, evidence=hostile, captured={"gpu": hostile, "flag": hostile})):
            assert "rm -rf" not in fix.command
            assert "reboot" not in fix.command


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_every_code_is_answered_in_order(code: str) -> None:
    found = options(situation(code, retried=True))
    assert [fix.k for fix in found] == list(range(1, len(found) + 1))
    assert len(found) <= MOST
    assert all(fix.title and fix.detail for fix in found)
    assert any(not fix.command and fix.spec is None for fix in found), "what is tried again can be tried now"


def test_a_change_is_told_in_words() -> None:
    after = spec(context=2048, flags={"port": "1"}, model=ModelRef("n", "file", "/n"))
    assert change_of(spec(flags={"mlock": True}), after) == (
        "model m-Q8_0.gguf → n, context 4096 → 2048, mlock on → –, port – → 1"
    )
