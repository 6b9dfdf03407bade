"""GPU memory is set aside with the wish: who is quicker has it, and whoever comes later is told who that is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook
from app.settings import Home
from app.store import hosts, read, telemetry
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.hosts.stub import L40S, MIB, Driver

GPU = "GPU-bbbbbbbb-0000-0000-0000-000000000002"
ROOT = Path(__file__).parents[2]
BIG = ("smollm2", "--backend", "docker", "--ctx", "128k", "--seqs", "8")
"""It needs 23 GiB: most of a GPU of 45 GiB less half of one is left to one of them only."""


def reserved(home: Home) -> dict[str, int]:
    """What is set aside of the GPU, by deployment."""
    with read.reading(home.store) as connection:
        return {name: each.bytes for name, each in hosts.reserved(connection).get(("local", GPU), {}).items()}


def refused(stoker: Stoker, *words: str) -> dict[str, Any]:
    result = stoker(*words, "--json")
    assert result.status == 1
    return dict(result.error)


@pytest.mark.usefixtures("server")
def test_what_is_left_is_told_with_who_has_the_rest(stoker: Stoker, driver: Driver, home: Home) -> None:
    driver.set(L40S)
    stoker.json("launch", *BIG, "--gpus", "0", "--name", "first")
    need = reserved(home)["first"]
    assert 22 * 1024 * MIB < need < 24 * 1024 * MIB
    error = refused(stoker, "launch", *BIG, "--gpus", "0", "--name", "second")
    assert error["code"] == "GPU_INCOMPATIBLE"
    assert "GPU 0 of local has" in error["message"]
    assert error["message"].endswith("held by first.")
    assert "stoker offers" in error["remedy"]
    assert reserved(home) == {"first": need}
    stoker.json("launch", "smollm2", "--backend", "docker", "--gpus", "0", "--name", "small")
    assert set(reserved(home)) == {"first", "small"}


@pytest.mark.usefixtures("server")
def test_what_is_set_aside_is_not_free_before_anything_starts(
    stoker: Stoker, driver: Driver, store: Store, home: Home
) -> None:
    driver.set(L40S)
    gpu = Gpu(0, GPU, "NVIDIA L40S", 46068 * MIB, 512 * MIB, 45556 * MIB)
    with store.write() as session:
        telemetry.record(session, HostFacts("local", HostLook("ok", 1, (gpu,)), {}, 1, 1))
    stoker.json("launch", *BIG, "--gpus", "0", "--name", "first")
    (shown,) = stoker.json("gpus")
    assert shown["vram_free"] == 46068 * MIB - reserved(home)["first"]


@pytest.mark.usefixtures("server")
def test_it_is_given_up_with_the_deployment_and_taken_again_by_a_start(
    stoker: Stoker, driver: Driver, home: Home
) -> None:
    driver.set(L40S)
    stoker.json("launch", *BIG, "--gpus", "0", "--name", "first")
    stoker.json("stop", "first")
    assert reserved(home) == {}
    stoker.json("launch", *BIG, "--gpus", "0", "--name", "second")
    error = refused(stoker, "start", "first")
    assert (error["code"], error["message"].endswith("held by second.")) == ("GPU_INCOMPATIBLE", True)
    assert stoker.json("show", "first")["status"] == "STOPPED"
    stoker.json("stop", "second")
    stoker.json("start", "first")
    assert set(reserved(home)) == {"first"}


@pytest.mark.usefixtures("server")
def test_a_change_takes_the_place_of_what_it_had(stoker: Stoker, driver: Driver, home: Home) -> None:
    driver.set(L40S)
    stoker.json("launch", *BIG, "--gpus", "0", "--name", "first")
    before = reserved(home)["first"]
    stoker.json("change", "first", "--ctx", "160k")
    assert reserved(home)["first"] > before
    stoker.json("change", "first", "--ctx", "4k")
    assert reserved(home)["first"] < before


@pytest.mark.usefixtures("server")
def test_strangers_are_named_too(stoker: Stoker, driver: Driver) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "train.py"], stdin=subprocess.PIPE) as stranger:
        driver.set("gpu GPU-bbbbbbbb-0000-0000-0000-000000000002 46068 40000 0 31 36000 8 9 NVIDIA L40S",
                   f"holder 0 {stranger.pid} 40000")  # fmt: skip
        error = refused(stoker, "launch", *BIG, "--gpus", "0", "--name", "late")
        stranger.kill()
    assert error["code"] == "GPU_INCOMPATIBLE"
    assert f"held by pid {stranger.pid} (" in error["message"]


@pytest.mark.usefixtures("server")
def test_what_does_not_fit_names_the_next_larger_gpu_on_offer(stoker: Stoker, home: Home, store: Store) -> None:
    (home.config / "config.toml").write_text('[simulated.sim-a]\ngpu = "A100 80GB"\ngpus = 1\nprice = "1.80"\n')
    gpu = Gpu(0, GPU, "NVIDIA L40S", 46068 * MIB, 0, 46068 * MIB)
    with store.write() as session:
        telemetry.record(session, HostFacts("local", HostLook("ok", 2**62, (gpu,)), {}, 1, 1))
    words = ("launch", *BIG[:-1], "16", "--gpus", "0", "--dry-run", "--json")
    checks = {each["name"]: each for each in stoker(*words).document["checks"]}
    assert checks["fit"]["result"] != "pass"
    assert checks["fit"]["remedy"].endswith("On offer: A100 80GB (79.1 GiB) on simulated@sim-a at 1.80 an hour.")


@pytest.mark.usefixtures("server")
def test_a_gpu_that_is_not_there(stoker: Stoker, driver: Driver) -> None:
    driver.set(L40S)
    assert refused(stoker, "launch", "smollm2", "--gpus", "3")["message"] == "`3`: local has GPU 0."
    assert refused(stoker, "launch", "smollm2", "--gpus", "count=2")["code"] == "GPU_INCOMPATIBLE"


@pytest.mark.usefixtures("server")
def test_a_number_of_gpus_becomes_those_that_are_freest(stoker: Stoker, driver: Driver) -> None:
    driver.set(L40S, "gpu GPU-cccccccc-0000-0000-0000-000000000003 46068 100 0 31 36000 8 9 NVIDIA L40S")
    stoker.json("launch", "smollm2", "--gpus", "count=1", "--name", "demo")
    assert stoker.json("show", "demo")["variants"][0]["gpus"] == "1"


@pytest.mark.usefixtures("server")
def test_of_two_processes_that_race_for_one_gpu_one_has_it(driver: Driver, home: Home) -> None:
    driver.set(L40S)
    environment = {**os.environ, **driver.environment}
    command = [sys.executable, "-m", "app.cli", "launch", *BIG, "--gpus", "0", "--json", "--name"]
    racers = [
        subprocess.Popen([*command, name], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    said = [racer.communicate(timeout=60) for racer in racers]
    assert sorted(racer.returncode for racer in racers) == [0, 1]
    (winner,) = reserved(home)
    (told,) = (err for racer, (_, err) in zip(racers, said, strict=True) if racer.returncode)
    error = json.loads(told.splitlines()[-1])["error"]
    assert error["code"] == "GPU_INCOMPATIBLE"
    assert error["message"].endswith(f"held by {winner}.")
