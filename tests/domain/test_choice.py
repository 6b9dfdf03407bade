"""Which engine serves what where, as a table; and in words why the others do not."""

import tomllib
from importlib import resources
from typing import Any

import pytest

from app.domain.choice import Choice, Machine, Stage, Traits, choose
from app.domain.engines import parse_presets
from app.domain.gpus import Gpu

PRESETS = parse_presets(tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8")))
LOCAL = frozenset({"llama.cpp", "mlx"})
GIB = 2**30
RTX = Gpu(0, name="NVIDIA GeForce RTX 4090", capability="8.9", vram_total=24 * GIB, vram_free=23 * GIB)
PASCAL = Gpu(0, name="NVIDIA GeForce GTX 1080", capability="6.1", vram_total=8 * GIB, vram_free=8 * GIB)
AMPERE = Gpu(1, name="NVIDIA A100", capability="8.0", vram_total=40 * GIB, vram_free=39 * GIB)
GGUF = Traits("m", "gguf", "llama", "q4_k_m")
TENSORS = Traits("m", "safetensors", "llama", "bf16")


def mac(**changes: Any) -> Machine:
    return Machine("this machine", "darwin", "arm64", **{"gpus": (), "installed": LOCAL, **changes})


def linux(*gpus: Gpu, **changes: Any) -> Machine:
    values: dict[str, Any] = {"gpus": gpus, "driver": "580.65", "cuda": "13.0", "containers": True}
    return Machine("this machine", "linux", "x86_64", **{**values, "installed": frozenset({"llama.cpp"}), **changes})


@pytest.mark.parametrize(
    ("traits", "machine", "expected"),
    [
        (GGUF, mac(), ("llama.cpp", "process")),
        (TENSORS, mac(), ("mlx", "process")),
        (Traits("m", "safetensors", "llama", "mlx"), mac(), ("mlx", "process")),
        (GGUF, linux(), ("llama.cpp", "process")),
        (GGUF, linux(RTX), ("llama.cpp", "process")),
        (GGUF, linux(installed=frozenset()), ("llama.cpp", "docker")),
        (TENSORS, linux(RTX), ("vllm", "docker")),
        (TENSORS, linux(RTX, driver="535.104", cuda="12.2"), ("vllm", "docker")),
        (TENSORS, linux(PASCAL, AMPERE), ("vllm", "docker")),
        (TENSORS, linux(), ("transformers", "docker")),
        (TENSORS, linux(PASCAL), ("transformers", "docker")),
        (Traits("m", "safetensors"), Machine("box", "linux", "x86_64", containers=True), ("vllm", "docker")),
    ],
)
def test_who_serves_what_where(traits: Traits, machine: Machine, expected: tuple[str, str]) -> None:
    choice = choose(traits, machine, PRESETS)
    assert (choice.engine, choice.backend) == expected
    assert choice.fits
    assert choice.reason.startswith(choice.engine)
    assert traits.format in choice.reason


def why(choice: Choice) -> dict[str, str]:
    return {each.place: each.why for each in choice.ruled_out}


def test_those_who_do_not_are_named_with_the_reason() -> None:
    out = why(choose(TENSORS, linux(RTX), PRESETS))
    assert out["llama.cpp"] == "it serves gguf, not safetensors"
    assert out["mlx"] == "it is made for darwin/arm64, this is linux/x86_64"
    assert "vllm in a container" not in out
    others = choose(TENSORS, linux(RTX), PRESETS).others
    assert others[0] == "not llama.cpp: it serves gguf, not safetensors", "once, for both ways to run it"
    assert len(others) == len(set(others))


@pytest.mark.parametrize(
    ("machine", "stage", "code", "words"),
    [
        (linux(PASCAL), Stage.AGE, "GPU_INCOMPATIBLE", ("vllm 0.32", "compute capability 7.5", "GTX 1080) has 6.1")),
        (linux(RTX, driver="470.82", cuda="11.4"), Stage.DRIVER, "GPU_INCOMPATIBLE", ("vllm 0.32", "470.82", "11.4")),
        (linux(RTX, driver="470.82", cuda=None), Stage.DRIVER, "GPU_INCOMPATIBLE", ("driver from 525", "470.82")),
        (linux(RTX, containers=False), Stage.DAEMON, "HOST_UNREACHABLE", ("no Docker daemon", "this machine")),
    ],
)
def test_what_a_gpu_engine_needs_is_said_with_its_version(
    machine: Machine, stage: Stage, code: str, words: tuple[str, ...]
) -> None:
    doubt = choose(TENSORS, machine, PRESETS, engine="vllm").doubt
    assert doubt is not None
    assert (doubt.stage, doubt.code) == (stage, code)
    for word in words:
        assert word in doubt.why


def test_a_form_of_weights_may_need_more_than_the_engine() -> None:
    form = Traits("m", "safetensors", "llama", "nvfp4")
    turing = Gpu(0, name="Tesla T4", capability="7.5")
    doubt = choose(form, linux(turing), PRESETS, engine="vllm").doubt
    assert doubt is not None
    assert "nvfp4 in vllm 0.32 needs compute capability 8.0, GPU 0 (Tesla T4) has 7.5" in doubt.why
    assert choose(form, linux(AMPERE), PRESETS, engine="vllm").fits
    doubt = choose(Traits("m", "safetensors", "llama", "mlx"), linux(RTX), PRESETS, engine="vllm").doubt
    assert doubt is not None
    assert "stored as mlx" in doubt.why


def test_a_gpu_that_was_named_must_do_and_of_others_the_roomiest_is_taken() -> None:
    both = linux(PASCAL, AMPERE)
    assert choose(TENSORS, both, PRESETS).gpus == "1"
    assert choose(TENSORS, linux(PASCAL), PRESETS).gpus == "0", "an engine that can do without is given one too"
    assert choose(TENSORS, linux(), PRESETS).gpus is None
    assert choose(GGUF, both, PRESETS).gpus is None
    doubt = choose(TENSORS, both, PRESETS, engine="vllm", gpus="0").doubt
    assert doubt is not None
    assert "GTX 1080" in doubt.why
    assert choose(TENSORS, both, PRESETS, gpus="1").gpus == "1"
    doubt = choose(TENSORS, both, PRESETS, engine="vllm", gpus="7").doubt
    assert doubt is not None
    assert "no such one" in doubt.why


def test_another_engine_that_was_asked_for_is_refused_with_who_would_take_it() -> None:
    choice = choose(TENSORS, linux(RTX), PRESETS, engine="llama.cpp")
    assert not choice.fits
    assert choice.engine == "llama.cpp"
    assert choice.instead.startswith("`--engine vllm` serves it: vllm in a container")
    bare = choose(TENSORS, linux(containers=False), PRESETS, engine="llama.cpp")
    assert "vllm in a container would take it, but vllm 0.32 needs an NVIDIA GPU, and this machine" in bare.instead
    assert (
        "transformers in a container would take it, but no Docker daemon can be asked on this machine." in bare.instead
    )
    assert bare.doubt is not None
    assert bare.doubt.certain


def test_where_nobody_serves_it_the_nearest_is_named_with_all_the_others() -> None:
    choice = choose(TENSORS, linux(containers=False), PRESETS)
    assert choice.doubt is not None
    assert (choice.engine, choice.doubt.code, choice.refused) == ("transformers", "HOST_UNREACHABLE", True)
    assert not choose(TENSORS, linux(containers=False), PRESETS, backend="docker").refused, "who asks for it may try"
    assert "not vllm: vllm 0.32 needs an NVIDIA GPU, and this machine has none" in choice.others
    assert {each.engine for each in (choice.doubt, *choice.ruled_out)} == set(PRESETS)


def test_an_architecture_that_is_not_listed_is_doubted_and_may_be_tried() -> None:
    choice = choose(Traits("m", "gguf", "brandnew"), linux(), PRESETS)
    assert (choice.engine, choice.backend) == ("llama.cpp", "process")
    assert choice.doubt is not None
    assert not choice.doubt.certain
    assert "`brandnew`" in choice.doubt.why


def test_what_is_not_known_speaks_against_nothing() -> None:
    assert choose(TENSORS, Machine("box", "linux", "x86_64", containers=True), PRESETS, engine="vllm").fits
    assert choose(TENSORS, linux(Gpu(0, name="odd")), PRESETS).engine == "vllm"


def test_hostile_names_are_made_safe() -> None:
    odd = Traits("m", "safetensors", "\x1b[31mred", "bf16")
    found = choose(odd, mac(), PRESETS)
    assert found.doubt is not None
    assert "\x1b" not in found.doubt.why + found.reason + "".join(found.others)


def test_no_engine_of_that_name() -> None:
    assert choose(GGUF, linux(), PRESETS, engine="nope").engine == "nope"


def test_processors_have_one_name() -> None:
    assert linux().kind == "linux/x86_64"
    assert Machine("x", "linux", "aarch64").kind == "linux/arm64"
