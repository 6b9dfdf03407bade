"""`gpus`: this machine through a driver of the test's making; who holds what, which of it is ours, what is free."""

import getpass
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook, Reserve
from app.settings import Home
from app.store import telemetry
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import instance, launch
from tests.hosts.stub import H100, L40S, MIB, Driver

GIB = 1 << 30


@pytest.fixture
def stranger() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "input()", "train.py"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_two_gpus_and_a_stranger_with_two_gibibytes(
    stoker: Stoker, driver: Driver, stranger: "subprocess.Popen[bytes]"
) -> None:
    driver.set(H100, L40S, f"holder 1 {stranger.pid} 2048")
    first, second = stoker.json("gpus")
    assert first == {
        "host": "local",
        "index": 0,
        "slice": None,
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": "GPU-aaaaaaaa-0000-0000-0000-000000000001",
        "vram_total": 81559 * MIB,
        "vram_used": 1024 * MIB,
        "vram_free": (81559 - 1024) * MIB,
        "utilization": 92,
        "temperature_c": 71,
        "power_w": 412.5,
        "capability": "9.0",
        "ecc_errors": None,
        "xid": None,
        "mig": None,
        "trouble": "",
        "holders": [],
    }
    (holder,) = second["holders"]
    assert {name: holder[name] for name in ("pid", "user", "container", "bytes", "deployment")} == {
        "pid": stranger.pid,
        "user": getpass.getuser(),
        "container": None,
        "bytes": 2 * GIB,
        "deployment": None,
    }
    assert holder["command"].endswith("-c input() train.py")
    shown = stoker("gpus")
    assert shown.status == 0
    assert "1.0/79.6 GiB" in shown.out
    assert f"pid {stranger.pid}  {getpass.getuser()}  " in shown.out
    assert "train.py  2.0 GiB  since " in shown.out


def test_a_slice_is_a_row_of_its_own_with_what_to_launch_on_it_by(stoker: Stoker, driver: Driver) -> None:
    uuid = "MIG-c7384736-a75d-5afc-978f-d2f1294409fd"
    driver.set(H100, "mig 0 1", f"slice 0 {uuid} 9984 512 NVIDIA H100 80GB HBM3 MIG 1g.10gb")
    whole, part = stoker.json("gpus")
    assert (whole["slice"], whole["mig"], part["index"], part["slice"]) == (None, True, 0, 0)
    assert (part["uuid"], part["vram_total"], part["vram_free"]) == (uuid, 9984 * MIB, 9472 * MIB)
    assert "0:0  NVIDIA H100 80GB HBM3 MIG 1g.10gb  0.5/9.8 GiB" in stoker("gpus").out
    assert uuid in stoker("gpus").out


def test_no_driver_and_a_driver_that_is_down(stoker: Stoker, driver: Driver) -> None:
    nothing = stoker("gpus", "--json")
    assert (nothing.status, nothing.document) == (0, [])
    assert "no driver  There is no NVIDIA driver on this machine." in nothing.err
    driver.set("down")
    down = stoker("gpus", "--json")
    assert (down.status, down.document) == (1, [])
    assert "CUDA_ERROR The NVIDIA driver is installed but not running" in down.err


def test_ours_are_named_and_what_they_need_is_not_free(
    stoker: Stoker, driver: Driver, store: Store, home: Home, stranger: "subprocess.Popen[bytes]"
) -> None:
    deployment = launch(store, "chat")
    instance(store, deployment, pid=stranger.pid)
    now = time.time_ns() // 1_000
    look = HostLook("ok", now, (Gpu(1, "GPU-bbbbbbbb-0000-0000-0000-000000000002", xid=31),))
    facts = HostFacts("local", look, {look.gpus[0].uuid: {"chat": Reserve(40 * GIB, now)}}, now, now)
    with store.write() as session:
        telemetry.record(session, facts)
    driver.set(H100, L40S, f"holder 1 {stranger.pid} 2048")
    first, second = stoker.json("gpus")
    assert second["holders"][0]["deployment"] == "chat"
    assert second["vram_free"] == 46068 * MIB - 40 * GIB
    assert (first["xid"], second["xid"]) == (None, 31), "the server hears what nobody else does"


def test_a_host_that_is_not_there(stoker: Stoker, home: Home) -> None:
    missing: dict[str, Any] = stoker("gpus", "--host", "gpu9", "--json").error
    assert missing["code"] == "NOT_FOUND"


def test_doctor_names_driver_and_gpus_and_what_is_wrong_with_them(stoker: Stoker, driver: Driver) -> None:
    def gpu() -> tuple[int, dict[str, str]]:
        result = stoker("doctor", "--json")
        return result.status, next(check for check in result.document["checks"] if check["name"] == "gpu")

    assert gpu()[1]["detail"] == "There is no NVIDIA driver on this machine."
    driver.set(H100, L40S)
    status, check = gpu()
    assert (status, check["result"]) == (0, "pass")
    assert check["detail"] == "0 NVIDIA H100 80GB HBM3, 1 NVIDIA L40S; driver 570.86.10, CUDA 12.8"
    driver.set(H100, L40S, "lost 1")
    assert gpu()[0] == 1
    assert gpu()[1]["detail"].startswith("GPU 1: The GPU is lost")
    driver.set("down")
    assert gpu()[1]["result"] == "fail"
