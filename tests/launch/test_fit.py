import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook
from app.launch import fit
from app.launch.checks import Check
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import plan_change, plan_launch
from app.settings import Home, load_presets
from app.store.migrate import migrate
from app.store.telemetry import record
from app.store.write import Store
from tests.launch.weights_files import LLAMA, files_of_a_folder, small_gguf, written

MIB = 2**20
GIB = 2**30


def plan(tmp_path: Path, content: bytes = small_gguf(), **more: object) -> Plan:
    path = written(tmp_path, {"m.gguf": content}) / "m.gguf"
    home = Home(tmp_path / "home", tmp_path / "home")
    return plan_launch(Options(model=str(path), **more), home, load_presets(home), ())  # type: ignore[arg-type] # options of any kind


def machine(monkeypatch: pytest.MonkeyPatch, total: int, available: int) -> None:
    monkeypatch.setattr(fit, "memory", lambda: (total, available))


def test_what_fits_passes_and_the_dry_run_has_the_estimate(tmp_path: Path) -> None:
    found = plan(tmp_path, context=512, seqs=2)
    check = found.checks[-1]
    assert (check.name, check.result) == ("fit", "pass")
    document = found.to_json()["estimate"]
    assert document["basis"] == "headers"
    # Two slots of 512 tokens, two layers, keys and values of 32 numbers in 16 bits.
    assert document["per_gpu"][0]["kv"] == 2 * 512 * 2 * 2 * 32 * 2
    assert document["max_ctx"] == 512


def test_what_the_machine_can_never_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 64 * MIB, 60 * MIB)
    found = plan(tmp_path, context=100_000, seqs=4)
    assert found.failure is not None
    assert (found.failure.name, found.failure.code) == ("fit", "HOST_OOM")
    assert found.to_json()["ok"] is False


def test_an_estimate_can_be_overruled_and_nothing_else_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 64 * MIB, 60 * MIB)
    forced = plan(tmp_path, context=100_000, seqs=4, force=True)
    assert forced.failure is None
    assert (forced.checks[-1].name, forced.checks[-1].result) == ("fit", "warn")
    assert forced.command
    assert plan(tmp_path, name="Not a name", force=True).failure is not None


def test_what_is_known_so_far_is_told_while_the_checks_end(tmp_path: Path) -> None:
    path = written(tmp_path, {"m.gguf": small_gguf()}) / "m.gguf"
    home = Home(tmp_path / "home", tmp_path / "home")
    told: list[Plan] = []
    whole = plan_launch(Options(model=str(path)), home, load_presets(home), (), told.append)
    assert told[0].waiting == ("balance", "plan", "fit")
    assert {"name", "engine", "model"} <= {check.name for check in told[0].checks}
    assert told[-1] == whole
    assert (whole.waiting, whole.failure) == ((), None)


def test_what_others_use_now_is_only_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 1_024 * MIB, 48 * MIB)
    found = plan(tmp_path, context=16_384)
    assert found.failure is None
    assert (found.checks[-1].result, found.checks[-1].code) == ("warn", "HOST_OOM")
    assert "`--ctx " in found.checks[-1].remedy


def test_a_limit_counts_as_the_memory_there_is(tmp_path: Path) -> None:
    found = plan(tmp_path, context=1_000_000, seqs=1, memory=200 * MIB)
    assert (found.checks[-1].name, found.checks[-1].result) == ("fit", "warn")


@pytest.mark.parametrize(
    "content", [b"GGUF" + bytes(40), small_gguf({**LLAMA, "llama.block_count": (4, 0)}), small_gguf()[:400]]
)
def test_a_file_that_cannot_be_understood_is_a_warning_with_its_reason(tmp_path: Path, content: bytes) -> None:
    found = plan(tmp_path, content)
    check = found.checks[-1]
    assert (check.name, check.result, check.code) == ("fit", "warn", "MODEL_LOAD_ERROR")
    assert found.to_json()["estimate"] is None


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    assert plan(tmp_path).checks[-1].result == "pass"
    assert plan(tmp_path, b"GGUF" + bytes(40)).checks[-1].result == "warn"


def test_memory_is_told_by_linux_or_else_by_the_library(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:       2048 kB\nMemAvailable:    1024 kB\n")
    assert fit.memory(table) == (2 * MIB, MIB)
    table.write_text("nonsense")
    assert fit.memory(table)[0] == psutil.virtual_memory().total


def seen(home: Home, *gpus: Gpu, host: str = "local") -> None:
    """What the server saw of a host's GPUs."""
    now = time.time_ns() // 1_000
    home.make()
    migrate(home.store, home.backups)
    store = Store(home.store)
    with store.write() as session:
        record(session, HostFacts(host, HostLook("ok", now, gpus, "580.65"), {}, now, now))
    store.close()


def card(index: int, total: int, free: int, name: str = "NVIDIA GeForce RTX 3090") -> Gpu:
    return Gpu(index, f"GPU-000{index}", name, total, total - free, free)


def named(plan: Plan, name: str) -> Check | None:
    return next((check for check in plan.checks if check.name == name), None)


def on_gpus(tmp_path: Path, gpus: str, **more: Any) -> Plan:
    return plan(tmp_path, backend="docker", gpus=gpus, **more)


@pytest.mark.parametrize(
    ("gpus", "free"),
    [("0", 20 * GIB), ("1", 24 * GIB), ("count=1", 24 * GIB), ("all", 20 * GIB), ("GPU-0000", 20 * GIB)],
)
def test_the_gpus_that_are_asked_for_are_what_it_has_to_fit(tmp_path: Path, gpus: str, free: int) -> None:
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, 20 * GIB), card(1, 24 * GIB, 24 * GIB))
    found = on_gpus(tmp_path, gpus)
    assert found.fit is not None
    assert (found.fit.on_gpu, found.fit.place) == (True, "NVIDIA GeForce RTX 3090")
    assert (found.fit.limit, found.fit.total) == (free, 24 * GIB)
    assert len(found.fit.estimate.per_gpu) == (2 if gpus == "all" else 1)
    assert (found.checks[-1].name, found.checks[-1].result) == ("fit", "pass")


def test_a_gpu_that_somebody_else_fills_refuses_and_can_be_tried_all_the_same(tmp_path: Path) -> None:
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, 100 * MIB))
    failure = named(on_gpus(tmp_path, "0"), "fit")
    assert failure is not None
    assert (failure.result, failure.code) == ("fail", "GPU_INCOMPATIBLE")
    assert "`--force` tries it" in failure.remedy
    assert on_gpus(tmp_path, "0", force=True).failure is None


def checkpoint(tmp_path: Path, gpus: str, **more: Any) -> Plan:
    """A folder of safetensors on vLLM."""
    folder = written(tmp_path / "model", files_of_a_folder())
    home = Home(tmp_path / "home", tmp_path / "home")
    options = Options(model=str(folder), backend="docker", gpus=gpus, **{"engine": "vllm", **more})
    return plan_launch(options, home, load_presets(home), ())


def after(plan: Plan, flag: str) -> str | None:
    return next((b for a, b in itertools.pairwise(plan.command) if a == flag), None)


def test_an_engine_that_claims_a_share_is_given_what_it_needs(tmp_path: Path) -> None:
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, 24 * GIB), card(1, 24 * GIB, 24 * GIB))
    one = checkpoint(tmp_path, "0", context=65_536, seqs=8)
    assert one.spec is not None
    assert one.spec.share is not None
    assert one.spec.share < 0.2, "a model of some megabytes takes no nine tenths of a card"
    assert after(one, "--gpu-memory-utilization") == f"{one.spec.share:.3f}"
    assert one.fit is not None
    claimed = one.fit.estimate.per_gpu[0].reserved
    assert one.fit.need <= claimed == int(24 * GIB * one.spec.share)
    more = checkpoint(tmp_path, "0", context=65_536, seqs=64)
    assert more.spec is not None
    assert (more.spec.share or 0) > one.spec.share, "as many at once as were asked for"
    assert (
        after(checkpoint(tmp_path, "0", flags={"gpu-memory-utilization": "0.5"}), "--gpu-memory-utilization") == "0.5"
    )
    assert after(one, "--tensor-parallel-size") is None
    assert after(checkpoint(tmp_path, "all"), "--tensor-parallel-size") == "2"
    assert after(checkpoint(tmp_path, "0", engine="sglang"), "--mem-fraction-static") is not None


def test_a_share_is_no_more_than_is_free(tmp_path: Path) -> None:
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, 8 * GIB))
    found = checkpoint(tmp_path, "0", context=1_048_576, seqs=1_024)
    assert found.failure is None
    assert found.spec is not None
    assert 0.1 < (found.spec.share or 0) < 8 / 24


def test_what_needs_a_larger_gpu_is_refused_with_the_figures(tmp_path: Path) -> None:
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, GIB // 4))
    failure = named(checkpoint(tmp_path, "0", context=512), "fit")
    assert failure is not None
    assert (failure.result, failure.code) == ("fail", "GPU_INCOMPATIBLE")


def test_a_change_is_given_another_share(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "home")
    seen(home, card(0, 24 * GIB, 24 * GIB))
    before = checkpoint(tmp_path, "0", context=65_536, seqs=8).require()
    again = plan_change(Options(seqs=128), home, load_presets(home), "demo", before, 1).require()
    assert (again.share or 0) > (before.share or 0)


def test_a_change_of_gpus_is_solved_anew(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "home")
    seen(home, card(0, 2 * GIB, 2 * GIB), card(1, 24 * GIB, 24 * GIB))
    presets = load_presets(home)
    before = checkpoint(tmp_path, "0", context=256, seqs=2).require()
    larger = plan_change(Options(gpus="1"), home, presets, "demo", before, 1)
    allows = named(larger, "allows")
    assert allows is not None
    assert (allows.result, "--seqs" in allows.detail) == ("pass", True)
    assert named(plan_change(Options(seqs=4), home, presets, "demo", before, 1), "allows") is None, "nothing moved"
    wide = checkpoint(tmp_path, "1", context=1_048_576, seqs=1, force=True)
    assert wide.spec is not None
    smaller = plan_change(Options(gpus="0"), home, presets, "demo", replace(wide.spec, context=8_388_608), 1)
    assert smaller.failure is not None
    assert smaller.failure.code == "GPU_INCOMPATIBLE"
    instead = named(smaller, "allows")
    assert instead is not None
    assert (instead.result, "--ctx" in instead.detail) == ("warn", True)


def test_the_engine_of_a_change_is_put_where_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "home")
    seen(home, card(0, 24 * GIB, 24 * GIB))
    before = replace(checkpoint(tmp_path, "0", context=256).require(), flags={"enforce-eager": True})
    found = plan_change(Options(engine="mlx"), home, load_presets(home), "demo", before, 1)
    assert found.spec is not None
    assert (found.spec.backend, found.spec.flags) == ("process", {})
    back = plan_change(Options(engine="vllm"), home, load_presets(home), "demo", found.spec, 1)
    assert back.spec is not None
    assert (back.spec.backend, back.spec.kv_type) == ("docker", "auto")


def test_of_gpus_that_nobody_has_looked_at_nothing_is_said(tmp_path: Path) -> None:
    assert on_gpus(tmp_path, "0").fit is None
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, GIB))
    assert on_gpus(tmp_path, "7").fit is None
