"""NVML through the real pynvml: what GPUs say, who holds their memory, and every way in which they say nothing."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.domain.gpus import Gpu, HostLook
from app.hosts.nvml import Nvml
from tests.hosts.stub import H100, L40S, MIB, Driver


@pytest.fixture
def nvml(driver: Driver) -> Iterator[Nvml]:
    reader = Nvml()
    yield reader
    reader.close()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[str]]:
    """A process that is not ours, with a secret on its command line."""
    words = [sys.executable, "-c", "input()", "--steps", "7", "--api-key", "hunter2", "TOKEN=hunter3"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_two_gpus_and_a_stranger_with_two_gibibytes(
    driver: Driver, nvml: Nvml, stranger: "subprocess.Popen[str]"
) -> None:
    driver.set(H100, "ecc 0 0", "mig 0 0", L40S, f"holder 1 {stranger.pid} 2048")
    look = nvml.look()
    assert (look.state, look.driver, look.cuda, look.code) == ("ok", "570.86.10", "12.8", None)
    first, second = look.gpus
    assert first == Gpu(
        index=0,
        uuid="GPU-aaaaaaaa-0000-0000-0000-000000000001",
        name="NVIDIA H100 80GB HBM3",
        vram_total=81559 * MIB,
        vram_used=1024 * MIB,
        vram_free=(81559 - 1024) * MIB,
        utilization=92,
        temperature_c=71,
        power_mw=412_500,
        capability="9.0",
        ecc_errors=0,
        mig=False,
        holders=(),
    )
    assert (second.name, second.ecc_errors, second.mig) == ("NVIDIA L40S", None, None)
    assert second.holders is not None
    (holder,) = second.holders
    assert (holder.pid, holder.bytes, holder.user) == (stranger.pid, 2048 * MIB, getpass.getuser())
    assert "--steps 7 --api-key *** TOKEN=***" in holder.command
    assert "hunter" not in repr(look)
    assert holder.since is not None and holder.since <= look.at
    assert os.getpid() in holder.parents


def test_what_changes_is_seen_at_the_next_look(driver: Driver, nvml: Nvml) -> None:
    driver.set(H100)
    assert nvml.look().gpus[0].utilization == 92
    driver.set(H100.replace(" 92 71 ", " 3 40 "), L40S)
    look = nvml.look()
    assert [(g.utilization, g.temperature_c) for g in look.gpus] == [(3, 40), (0, 31)]


def test_no_driver_a_driver_that_is_down_and_one_that_comes_back(driver: Driver, nvml: Nvml) -> None:
    look = nvml.look()
    assert (look.state, look.code, look.detail) == ("no_driver", None, "There is no NVIDIA driver on this machine.")
    driver.set("down")
    look = nvml.look()
    assert (look.state, look.code, look.gpus) == ("driver_down", "CUDA_ERROR", ())
    assert "Driver Not Loaded" in look.detail
    driver.set(H100)
    assert nvml.look().state == "ok"
    driver.set("down")
    assert nvml.look().state == "driver_down"
    driver.set()
    assert (nvml.look().state, nvml.look().detail) == ("no_gpu", "The NVIDIA driver runs, and sees no GPU.")


def test_a_lost_gpu_is_said_to_be_lost_and_its_neighbour_is_still_read(driver: Driver, nvml: Nvml) -> None:
    driver.set(H100, L40S)
    assert nvml.look().state == "ok"
    driver.set(H100, L40S, "lost 0", "xid 0 79")
    lost, other = nvml.look().gpus
    assert (lost.index, lost.name, lost.uuid[:8], lost.xid) == (0, "NVIDIA H100 80GB HBM3", "GPU-aaaa", 79)
    assert lost.trouble.startswith("The GPU is lost")
    assert lost.vram_total is None
    assert (other.name, other.trouble, other.xid) == ("NVIDIA L40S", "", None)


def test_an_error_of_the_driver_is_kept_until_it_is_loaded_anew(driver: Driver, nvml: Nvml) -> None:
    driver.set(H100)
    assert nvml.look().gpus[0].xid is None
    driver.set(H100, "xid 0 13", "xid 0 31")
    assert nvml.look().gpus[0].xid == 31
    assert nvml.look().gpus[0].xid == 31


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        pytest.param(
            "gpu GPU-c -1 -1 5 50 30000 12 1 NVIDIA GB10", {"vram_total", "vram_used", "vram_free"}, id="unified"
        ),
        pytest.param(
            "gpu GPU-v 8192 512 -1 -1 -1 8 9 GRID L40S-8Q",
            {"utilization", "temperature_c", "power_mw", "holders"},
            id="vgpu",
        ),
        pytest.param("gpu GPU-o 4096 0 0 30 9000 -1 0 Quadro", {"capability"}, id="old"),
    ],
)
def test_what_a_gpu_does_not_tell_is_left_open_field_by_field(
    driver: Driver, nvml: Nvml, line: str, missing: set[str]
) -> None:
    driver.set(line)
    (gpu,) = nvml.look().gpus
    assert {name for name in Gpu.__slots__ if getattr(gpu, name) is None} == missing | {
        "ecc_errors",
        "mig",
        "xid",
        "slice",
    }


def test_a_gpu_in_slices_and_processes_of_which_nothing_is_known(driver: Driver, nvml: Nvml) -> None:
    nobody = 2**22 + 1
    driver.set(H100.replace(" 92 71 ", " 0 71 "), "mig 0 1", f"holder 0 {nobody} -1")
    (gpu,) = nvml.look().gpus
    assert gpu.mig is True
    assert gpu.holders is not None
    (holder,) = gpu.holders
    assert (holder.pid, holder.bytes, holder.user, holder.command, holder.since) == (nobody, None, None, "", None)


def test_each_slice_is_an_entry_of_its_own_with_its_memory_and_holders(
    driver: Driver, nvml: Nvml, stranger: "subprocess.Popen[str]"
) -> None:
    driver.set(
        H100,
        "mig 0 1",
        "slice 0 MIG-c7384736-a75d-5afc-978f-d2f1294409fd 9984 512 NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "slice 0 MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d 40448 0 NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        f"holder 0 {stranger.pid} 500 0",
        "holder 0 4194305 -1",
        L40S,
    )
    whole, first, second, other = nvml.look().gpus
    assert [gpu.place for gpu in (whole, first, second, other)] == ["0", "0:0", "0:1", "1"]
    assert (whole.mig, [holder.pid for holder in whole.holders or ()]) == (True, [4194305])
    assert (first.uuid[:12], first.name) == ("MIG-c7384736", "NVIDIA H100 80GB HBM3 MIG 1g.10gb")
    assert (first.vram_total, first.vram_used, first.vram_free) == (9984 * MIB, 512 * MIB, 9472 * MIB)
    assert [(holder.pid, holder.bytes) for holder in first.holders or ()] == [(stranger.pid, 500 * MIB)]
    assert (first.capability, first.utilization, first.temperature_c, first.power_mw) == ("9.0", None, None, None)
    assert (second.vram_free, second.holders) == (40448 * MIB, ())
    assert HostLook.from_json(nvml.look().to_json()).gpus[1] == first


def test_what_a_driver_says_is_cleaned(driver: Driver, nvml: Nvml) -> None:
    driver.set(L40S + "\x1b]52;c;QQ==\x07\x1b[2J")
    assert nvml.look().gpus[0].name == "NVIDIA L40S"
