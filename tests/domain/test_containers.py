"""What an engine's container is made of, and the command that a person could give instead."""

import itertools
import tomllib
from importlib import resources
from typing import Any

import pytest

from app.domain.containers import docker_run
from app.domain.engines import gpu_choice, parse_presets, render_command
from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec

PRESETS = parse_presets(tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8")))
FILE = ModelRef("m", "file", "/weights/m.gguf")
HUB = ModelRef("org/model", "hub", "org/model", "safetensors")


def command(engine: str, **changes: Any) -> list[str]:
    values: dict[str, Any] = {"model": FILE, "context": 4096, "seqs": 4, "kv_type": PRESETS[engine].kv_types[0]}
    spec = VariantSpec(engine=engine, backend="docker", **{**values, **changes})
    return list(docker_run(PRESETS[engine], spec, render_command(PRESETS[engine], spec, "demo", "python", 2)))


def following(words: list[str], flag: str) -> list[str]:
    return [b for a, b in itertools.pairwise(words) if a == flag]


def test_weights_are_mounted_and_the_engine_is_told_where() -> None:
    words = command("llama.cpp")
    assert following(words, "--volume") == ["/weights/m.gguf:/models/m.gguf:ro"]
    assert following(words, "--model") == ["/models/m.gguf"]
    assert following(words, "--publish") == ["127.0.0.1::8080"]
    assert following(words, "--port") == ["8080"]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_what_the_hub_has_is_fetched_by_the_engine(engine: str) -> None:
    words = command(engine, model=HUB)
    assert "--volume" not in words
    assert "org/model" in words
    assert following(words, "--served-model-name") == ["demo"]


def test_what_the_gpus_come_to_is_passed_unless_somebody_says_it() -> None:
    words = command("vllm", model=HUB, gpus="0,1", share=0.6214)
    assert following(words, "--tensor-parallel-size") == ["2"]
    assert following(words, "--gpu-memory-utilization") == ["0.621"]
    words = command("vllm", model=HUB, gpus="count=4", flags={"pipeline-parallel-size": "4"}, share=0.5)
    assert "--tensor-parallel-size" not in words
    words = command("vllm", model=HUB, gpus="0", flags={"gpu-memory-utilization": "0.3"}, share=0.5)
    assert following(words, "--gpu-memory-utilization") == ["0.3"]
    assert "--tensor-parallel-size" not in words
    assert following(command("sglang", model=HUB, gpus="0,1", share=0.5), "--tp-size") == ["2"]
    assert following(command("sglang", model=HUB, gpus="0,1", share=0.5), "--mem-fraction-static") == ["0.500"]


def test_on_a_gpu_it_is_the_image_for_that() -> None:
    assert any(word.endswith(":server-cuda") for word in command("llama.cpp", gpus="0"))
    assert not any(word.endswith(":server-cuda") for word in command("llama.cpp"))


def test_limits_gpus_and_the_host_are_in_it() -> None:
    words = command("vllm", model=HUB, gpus="0,1", memory_limit=1_000_000_000, host="gpu1", image="x/y:1")
    assert following(words, "--gpus") == ["device=0,1"]
    assert following(words, "--memory") == following(words, "--memory-swap") == ["1000000000"]
    assert following(words, "--context") == ["gpu1"]
    assert "x/y:1" in words


def test_what_runs_in_no_container_is_as_it_is() -> None:
    spec = VariantSpec(FILE, "llama.cpp", "process", 4096, 4, "f16")
    assert docker_run(PRESETS["llama.cpp"], spec, ("a", "b")) == ("a", "b")


def test_gpus_by_index_by_count_or_all() -> None:
    assert gpu_choice(None) == ((), None)
    assert gpu_choice("all") == (("all",), None)
    assert gpu_choice("count=2") == ((), 2)
    assert gpu_choice("0,GPU-1a2b") == (("0", "GPU-1a2b"), None)
    for slices in (("MIG-c7384736-a75d-5afc-978f-d2f1294409fd",), ("MIG-GPU-1a2b/1/0", "1")):
        assert gpu_choice(",".join(slices)) == (slices, None)
    for wrong in ("none", "0,", "count=0", "0;1", "-1", "0,all", "MIG-GPU-1a2b/1/0/../x", "MIG-"):
        with pytest.raises(StokerError, match="CONFIG_INVALID"):
            gpu_choice(wrong)


def test_a_container_s_table_lacks_nothing() -> None:
    with pytest.raises(StokerError, match="`container` of engine `x`"):
        parse_presets({"x": {"container": {"images": []}} | _table()})


def _table() -> dict[str, Any]:
    shipped = tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8"))
    return {key: value for key, value in shipped["llama.cpp"].items() if key != "container"}
