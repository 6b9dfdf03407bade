"""Presets are data, and a variant becomes a command."""

import itertools
import tomllib
from importlib import resources
from typing import Any

import pytest

from app.domain.engines import Preset, compute_threads, nearest, parse_presets, render_command
from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec

SHIPPED = tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8"))
LLAMA = parse_presets(SHIPPED)["llama.cpp"]


def spec(**changes: Any) -> VariantSpec:
    values: dict[str, Any] = {
        "model": ModelRef("m", "file", "/m.gguf"),
        "engine": "llama.cpp",
        "backend": "process",
        "context": 4096,
        "seqs": 4,
        "kv_type": "f16",
    }
    return VariantSpec(**{**values, **changes})


def options(variant: VariantSpec, preset: Preset = LLAMA) -> dict[str, str]:
    """What follows each flag of the rendered command."""
    words = render_command(preset, variant, "demo", "/usr/bin/python3", 2)
    return {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}


def test_the_engine_is_given_the_context_of_every_sequence() -> None:
    assert options(spec(context=8192, seqs=3))["--ctx-size"] == "24576"
    assert options(spec(context=8192, seqs=3))["--parallel"] == "3"


@pytest.mark.parametrize(("kv_type", "keys", "values"), [("q8_0", "q8_0", "q8_0"), ("q8_0/f16", "q8_0", "f16")])
def test_the_cache_type_may_differ_for_keys_and_values(kv_type: str, keys: str, values: str) -> None:
    found = options(spec(kv_type=kv_type))
    assert (found["--cache-type-k"], found["--cache-type-v"]) == (keys, values)


def test_the_command_is_the_interpreters_own_and_isolated() -> None:
    words = render_command(LLAMA, spec(), "demo", "/usr/bin/python3", 2)
    assert words[:3] == ("/usr/bin/python3", "-I", "-m")
    assert options(spec())["--model"] == "/m.gguf"
    assert options(spec())["--alias"] == "demo"


def test_braces_and_spaces_in_a_path_stay_what_they_are() -> None:
    odd = "/a b/{seqs}/--host.gguf"
    assert options(spec(model=ModelRef("m", "file", odd)))["--model"] == odd


def test_flags_are_passed_as_they_are() -> None:
    words = render_command(LLAMA, spec(flags={"no-mmap": True, "seed": "7"}), "demo", "python", 2)
    assert words[-3:] == ("--no-mmap", "--seed", "7")


@pytest.mark.parametrize("flag", LLAMA.owned)
def test_a_flag_of_stokers_own_is_refused(flag: str) -> None:
    with pytest.raises(StokerError) as caught:
        render_command(LLAMA, spec(flags={flag: "1"}), "demo", "python", 2)
    assert caught.value.code == "BAD_FLAG"
    assert f"`{flag}`" in caught.value.message
    assert caught.value.remedy


def test_what_stoker_passes_it_owns() -> None:
    """Every flag in a preset's own arguments is refused from a user, or the engine would be told twice."""
    for preset in parse_presets(SHIPPED).values():
        passed = {word.removeprefix("--") for word in preset.arguments if word.startswith("--")}
        assert passed - set(preset.owned) <= {"threads"}


def test_a_preset_lacks_nothing_and_has_nothing_unknown() -> None:
    table = SHIPPED["llama.cpp"]
    for wrong, word in (
        ({k: v for k, v in table.items() if k != "health"}, "missing field `health`"),
        ({**table, "colour": 1}, "unknown field `colour`"),
    ):
        with pytest.raises(StokerError, match="CONFIG_INVALID") as caught:
            parse_presets({"llama.cpp": wrong})
        assert word in caught.value.message
    assert parse_presets({"x": {k: v for k, v in table.items() if k != "module"}})["x"].module is None
    with pytest.raises(StokerError, match="CONFIG_INVALID"):
        parse_presets({"x": 3})


def test_defaults_are_sane() -> None:
    for preset in parse_presets(SHIPPED).values():
        assert preset.context > 0
        assert preset.seqs > 0
        assert preset.kv_types
        assert preset.formats


def test_threads_are_bounded() -> None:
    assert [compute_threads(n) for n in (None, 1, 2, 4, 8, 96)] == [1, 1, 1, 2, 4, 4]


def test_the_nearest_word() -> None:
    assert nearest("ctx-siez", ["ctx-size", "seed"]) == "ctx-size"
