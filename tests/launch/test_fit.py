import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook
from app.launch import fit
from app.launch.options import Options
from app.launch.plan import Plan, plan_launch
from app.settings import Home, load_presets
from app.store.migrate import migrate
from app.store.telemetry import record
from app.store.write import Store
from tests.launch.weights_files import LLAMA, small_gguf, written

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
        record(session, HostFacts(host, HostLook("ok", now, gpus, "570"), {}, now, now))
    store.close()


def card(index: int, total: int, free: int, name: str = "NVIDIA GeForce RTX 3090") -> Gpu:
    return Gpu(index, f"GPU-000{index}", name, total, total - free, free)


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
    failure = on_gpus(tmp_path, "0").failure
    assert failure is not None
    assert (failure.name, failure.code) == ("fit", "GPU_INCOMPATIBLE")
    assert "`--force` tries it" in failure.remedy
    assert on_gpus(tmp_path, "0", force=True).failure is None


def test_of_gpus_that_nobody_has_looked_at_nothing_is_said(tmp_path: Path) -> None:
    assert on_gpus(tmp_path, "0").fit is None
    seen(Home(tmp_path / "home", tmp_path / "home"), card(0, 24 * GIB, GIB))
    assert on_gpus(tmp_path, "7").fit is None
