"""The estimator against published runs. Those whose settings were inferred are only reported, by `bench.vram`."""

from collections.abc import Iterator

import pytest

from app.domain.failures import StokerError
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import ENGINES, estimate
from app.domain.vram.gpus import GIB, MIB
from app.domain.vram.setup import Setup
from app.domain.vram.weights import by_parameters
from bench import vram

pytestmark = pytest.mark.skipif(not vram.DATA.is_dir(), reason="the shared measurements are not here")

OTHER_RANK = "its tokens follow the rank that has the least room, its bytes are another's"
SPECULATES = "its cache holds layers that speculate"
NOT_THE_MODEL = "the run loaded only a part of the model"
TOWER = "a vision tower, whose configuration is not given, is loaded or profiled too"
REPLICATED = "vLLM keeps parts of latent attention on every rank that nobody has listed"
UNSTATED = "it ran with fewer sequences than its defaults, and does not say how many"
EXPLAINED = {
    ("kv", "qwen2-01"): OTHER_RANK,
    ("kv", "qwen3.5-hybrid-01"): SPECULATES,
    ("kv", "qwen3.5-hybrid-05"): SPECULATES,
    ("weights", "qwen2-03"): NOT_THE_MODEL,
    ("kv_room", "qwen2-03"): NOT_THE_MODEL,
    ("weights", "gemma3-01"): TOWER,
    ("weights", "qwen3-07"): TOWER,
    ("kv_room", "qwen3-07"): TOWER,
    ("weights", "deepseek-mla-03"): REPLICATED,
    ("kv_room", "llama3-11"): UNSTATED,
}


def held(component: str, engines: tuple[str, ...]) -> Iterator[tuple[vram.Run, vram.Compared]]:
    for run in vram.runs():
        for one in vram.compared(run):
            explained = (component, one.run) in EXPLAINED
            if one.component == component and one.engine in engines and one.settled and not explained:
                yield run, one


def test_cache_bytes_are_within_one_percent() -> None:
    rows = list(held("kv", ("vllm", "sglang", "llama.cpp")))
    assert len(rows) > 30
    assert [one for _, one in rows if abs(one.error) > 0.01] == []


def test_states_are_within_one_percent() -> None:
    rows = list(held("state", ("llama.cpp",)))
    assert len(rows) >= 4
    assert [one for _, one in rows if abs(one.error) > 0.01] == []


def test_weights_are_within_one_percent_of_bytes() -> None:
    rows = [one for run, one in held("weights", ("vllm", "llama.cpp")) if run.weights.basis == "given"]
    assert len(rows) >= 6
    assert [one for one in rows if abs(one.error) > 0.01] == []


def test_weights_are_within_two_percent_of_parameters_in_16_bits() -> None:
    plain = ("bfloat16", "float16")
    rows = [one for run, one in held("weights", ("vllm",)) if run.row["weight_format"] in plain]
    assert len(rows) > 20
    assert [one for one in rows if abs(one.error) > 0.02] == []


def test_totals_of_llama_cpp_are_within_five_percent_and_never_far_below() -> None:
    rows = [one for _, one in held("total", ("llama.cpp",))]
    assert len(rows) >= 10
    assert [one for one in rows if abs(one.error) > 0.05 or one.measured - one.estimated > 300 * MIB] == []


def test_room_of_vllm_is_within_half_a_gib_or_one_on_large_cards() -> None:
    rows = list(held("kv_room", ("vllm",)))
    assert len(rows) > 12
    wrong = []
    for run, one in rows:
        large = run.setup.gpus[0].total >= 39 * GIB
        allowed = max(GIB, 0.05 * one.measured) if large else GIB / 2
        if abs(one.estimated - one.measured) > allowed:
            wrong.append(one)
    assert wrong == []


def test_every_verdict_is_right() -> None:
    rows = [run for run in vram.runs() if run.row.get("outcome") and run.setup.gpus and run.row.get("gpu_total_gib")]
    stated = [run for run in rows if run.row["outcome"] != "ok" or _complete(run)]
    assert len([run for run in stated if run.row["outcome"] != "ok"]) == 4
    wrong = {run.row["id"]: run.estimate.why for run in stated if run.estimate.fits != (run.row["outcome"] == "ok")}
    assert wrong == {}


def _complete(run: vram.Run) -> bool:
    """Whether a run that worked says how: its weights' bytes or a form that has exact ones, and its context."""
    exact = run.weights.basis == "given" or run.row.get("weight_format") in ("bfloat16", "float16", "fp8")
    return exact and bool(run.row.get("max_model_len") or run.row.get("n_ctx"))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_shape_is_estimated_sanely_or_refused_clearly(engine: str) -> None:
    refused = []
    for name, row in vram.shapes().items():
        try:
            shape = read_shape(row)
            found = estimate(shape, by_parameters(shape), Setup(engine, 4_096))
        except StokerError as error:
            refused.append((name, error.code))
            continue
        part = found.per_gpu[0]
        assert 0.4 < by_parameters(shape).total / shape.parameters < 4.2, name
        assert part.total == found.total < 2 * by_parameters(shape).total + 32 * GIB, name
        assert found.band[0] < found.total < found.band[1], name
        assert part.kv + part.state > 0, name
    # Two rows are partial, and the searched architecture comes without its blocks.
    assert [code for _, code in refused] == ["MODEL_LOAD_ERROR"] * 3


def test_parameters_are_those_published() -> None:
    for name, row in vram.shapes().items():
        if row.get("params_computed") and row.get("hidden_size"):
            assert read_shape(row).parameters == pytest.approx(row["params_computed"], rel=0.001), name


def test_cached_numbers_are_those_of_the_data() -> None:
    for name, row in vram.shapes().items():
        if row.get("kv_elems_per_token_full") is None:
            continue
        layers = read_shape(row).layers
        full = sum(layer.key + layer.value for layer in layers if layer.window is None)
        sliding = sum(layer.key + layer.value for layer in layers if layer.window is not None)
        assert (full, sliding) == (row["kv_elems_per_token_full"], row.get("kv_elems_per_token_sliding") or 0), name
