"""Sizes of a launch: a word in place of numbers, and what it becomes."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.sizes import GIVING_UP
from app.launch import fit
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import plan_launch
from app.settings import Home, load_presets
from tests.launch.weights_files import LLAMA, small_gguf, written

MIB = 2**20
LONG = small_gguf({**LLAMA, "llama.context_length": (4, 65_536)})


def plan(tmp_path: Path, model: str = "m.gguf", **more: Any) -> Plan:
    home = Home(tmp_path / "home", tmp_path / "home")
    return plan_launch(Options(model=str(tmp_path / model), **more), home, load_presets(home), ())


@pytest.fixture
def roomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {"m.gguf": LONG})
    monkeypatch.setattr(fit, "memory", lambda: (1_024 * MIB, 1_024 * MIB))


@pytest.mark.usefixtures("roomy")
def test_a_size_is_numbers_in_a_word_and_a_number_that_is_given_goes_before_it(tmp_path: Path) -> None:
    usual = plan(tmp_path)
    assert [size.name for size in usual.sizes] == ["small", "medium", "large"]
    small, large = plan(tmp_path, size="small").require(), plan(tmp_path, size="large").require()
    assert (small.context, small.seqs) == (4_096, 1)
    assert plan(tmp_path, size="medium").require() == usual.require()
    assert (large.context, large.seqs) == (65_536, 4)
    assert plan(tmp_path, size="large", context=1_024).require().context == 1_024
    assert plan(tmp_path, size="large").sizes == usual.sizes


@pytest.mark.usefixtures("roomy")
def test_a_size_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    failure = plan(tmp_path, size="less-context").failure
    assert failure is not None
    assert (failure.name, failure.code) == ("size", "CONFIG_INVALID")
    assert "small, medium, large" in failure.remedy


@pytest.mark.usefixtures("roomy")
def test_what_gives_way_is_what_then_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = plan(tmp_path, context=32_768).fit
    assert usual is not None
    monkeypatch.setattr(fit, "memory", lambda: (1_024 * MIB, usual.need - 1))
    offers = [size for size in plan(tmp_path, context=32_768).sizes if size.name in GIVING_UP]
    assert offers
    for size in offers:
        assert size.verdict != "no"
        spec = plan(tmp_path, context=32_768, size=size.name).require()
        assert (spec.seqs, spec.kv_type, spec.flags) == (size.seqs, size.kv_type, size.flags)


def test_where_nothing_can_be_estimated_small_is_small_all_the_same(tmp_path: Path) -> None:
    written(tmp_path, {"m.gguf": b"GGUF" + bytes(60)})
    assert plan(tmp_path).sizes == ()
    spec = plan(tmp_path, size="small").require()
    assert (spec.context, spec.seqs) == (4_096, 1)
    assert plan(tmp_path, size="large").failure is not None


def test_a_smaller_file_of_the_same_model_is_found_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = {**LLAMA, "llama.context_length": (4, 65_536)}
    written(tmp_path, {"m.gguf": small_gguf(wide, tied=False), "m-small.gguf": small_gguf(wide), "x.gguf": b"GGUF"})
    usual = plan(tmp_path).fit
    assert usual is not None
    monkeypatch.setattr(fit, "memory", lambda: (1_024 * MIB, usual.need - 1))
    offers = {size.name: size for size in plan(tmp_path).sizes}
    assert offers["smaller-weights"].model == str(tmp_path / "m-small.gguf")
    assert plan(tmp_path, size="smaller-weights").require().model.name == "m-small.gguf"
