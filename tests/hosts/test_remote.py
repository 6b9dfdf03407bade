"""Another machine's GPUs, over a real sshd: what its nvidia-smi says, who its processes are, and every way to fail."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.gpus import HostLook
from app.hosts.remote import look, parse
from app.hosts.ssh import Ssh
from tests.hosts.sshd import NAME, Sshd

GIB = 1 << 30
GPUS = (
    "0, GPU-aa, NVIDIA H100 80GB HBM3, 570.86.10, 81920, 2048, 79872, 92, 71, 412.50, 9.0, 0, Disabled",
    "1, GPU-bb, NVIDIA L40S, 570.86.10, 46080, 512, 45568, 0, 31, 36.02, 8.9, [N/A], [N/A]",
)
SMI = """case "$*" in
*query-gpu*) {refuse} cat <<'END'
{gpus}
END
;;
*query-compute-apps*) cat <<'END'
{apps}
END
;;
-L) cat <<'END'
{listed}
END
;;
"-q -x") cat <<'END'
{told}
END
;;
*) echo '| NVIDIA-SMI 570.86.10   Driver Version: 570.86.10   CUDA Version: 12.8     |' ;;
esac"""


SLICED = GPUS[0].replace("Disabled", "Enabled").replace("GPU-aa", "GPU-5d5ba0d6")
LISTED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6)
  MIG 1g.10gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 3g.40gb     Device  1: (UUID: MIG-GPU-5d5ba0d6/2/0)
GPU 1: NVIDIA L40S (UUID: GPU-bb)"""
TOLD = """<?xml version="1.0" ?>
<nvidia_smi_log>
\t<gpu id="00000000:15:00.0">
\t\t<mig_devices>
\t\t\t<mig_device>
\t\t\t\t<index>0</index>
\t\t\t\t<gpu_instance_id>9</gpu_instance_id>
\t\t\t\t<compute_instance_id>0</compute_instance_id>
\t\t\t\t<fb_memory_usage>
\t\t\t\t\t<total>9984 MiB</total>
\t\t\t\t\t<reserved>0 MiB</reserved>
\t\t\t\t\t<used>512 MiB</used>
\t\t\t\t\t<free>9472 MiB</free>
\t\t\t\t</fb_memory_usage>
\t\t\t\t<bar1_memory_usage>
\t\t\t\t\t<total>16383 MiB</total>
\t\t\t\t</bar1_memory_usage>
\t\t\t</mig_device>
\t\t\t<mig_device>
\t\t\t\t<index>1</index>
\t\t\t\t<gpu_instance_id>2</gpu_instance_id>
\t\t\t\t<compute_instance_id>0</compute_instance_id>
\t\t\t\t<fb_memory_usage>
\t\t\t\t\t<total>40448 MiB</total>
\t\t\t\t\t<used>0 MiB</used>
\t\t\t\t\t<free>40448 MiB</free>
\t\t\t\t</fb_memory_usage>
\t\t\t</mig_device>
\t\t</mig_devices>
\t\t<uuid>GPU-5d5ba0d6</uuid>
\t\t<processes>
\t\t\t<process_info>
\t\t\t\t<gpu_instance_id>9</gpu_instance_id>
\t\t\t\t<compute_instance_id>0</compute_instance_id>
\t\t\t\t<pid>{pid}</pid>
\t\t\t\t<used_memory>500 MiB</used_memory>
\t\t\t</process_info>
\t\t</processes>
\t</gpu>
</nvidia_smi_log>"""


def smi(host: Sshd, *gpus: str, apps: str = "", refuse: str = "", listed: str = "", told: str = "") -> None:
    """The host's nvidia-smi, which says this from now on."""
    host.script("nvidia-smi", SMI.format(gpus="\n".join(gpus), apps=apps, refuse=refuse, listed=listed, told=told))


@pytest.fixture
def ssh(host: Sshd, sockets: Path) -> Iterator[Ssh]:
    made = Ssh(NAME, sockets)
    yield made
    made.close()


def test_two_gpus_and_who_holds_their_memory(ssh: Ssh, host: Sshd) -> None:
    words = [sys.executable, "-c", "input()", "a\tb\nprocess\t1", "--token=hunter2"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as stranger:
        smi(host, *GPUS, apps=f"GPU-bb, {stranger.pid}, 2048\nGPU-bb, 4194305, [N/A]")
        found = look(ssh)
        stranger.kill()
    assert (found.state, found.driver, found.cuda, found.code) == ("ok", "570.86.10", "12.8", None)
    first, second = found.gpus
    assert (first.index, first.uuid, first.name, first.capability) == (0, "GPU-aa", "NVIDIA H100 80GB HBM3", "9.0")
    assert (first.vram_total, first.vram_used, first.vram_free) == (80 * GIB, 2 * GIB, 78 * GIB)
    assert (first.utilization, first.temperature_c, first.power_mw) == (92, 71, 412_500)
    assert (first.ecc_errors, first.mig, first.holders) == (0, False, ())
    assert (second.ecc_errors, second.mig) == (None, None)
    assert second.holders is not None
    holder, unknown = second.holders
    assert (holder.pid, holder.bytes, holder.user) == (stranger.pid, 2 * GIB, getpass.getuser())
    assert holder.command.endswith("-c input() a b process 1 --token=***")
    assert os.getpid() in holder.parents
    assert holder.since is not None
    assert abs(found.at - holder.since) < 120_000_000
    assert (unknown.pid, unknown.bytes, unknown.user) == (4194305, None, None)


def test_each_slice_is_an_entry_of_its_own(ssh: Ssh, host: Sshd) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        apps = f"GPU-5d5ba0d6, {stranger.pid}, [N/A]\nGPU-bb, 4194305, 100"
        smi(host, SLICED, GPUS[1], apps=apps, listed=LISTED, told=TOLD.format(pid=stranger.pid))
        whole, first, second, other = look(ssh).gpus
        stranger.kill()
    assert [gpu.place for gpu in (whole, first, second, other)] == ["0", "0:0", "0:1", "1"]
    assert (whole.mig, whole.holders) == (True, ())
    assert (first.uuid, first.name) == (
        "MIG-c7384736-a75d-5afc-978f-d2f1294409fd",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
    )
    assert [n and n >> 20 for n in (first.vram_total, first.vram_used, first.vram_free)] == [9984, 512, 9472]
    assert first.holders is not None
    assert [(h.pid, h.bytes, h.user) for h in first.holders] == [(stranger.pid, 500 << 20, getpass.getuser())]
    assert (second.uuid, second.vram_total, second.holders) == ("MIG-GPU-5d5ba0d6/2/0", 40448 << 20, ())
    assert [h.pid for h in other.holders or ()] == [4194305]


def test_slices_that_are_only_listed_are_there_without_their_memory(ssh: Ssh, host: Sshd) -> None:
    smi(host, SLICED, listed=LISTED)
    _, first, second = look(ssh).gpus
    assert (first.name, first.vram_total, first.holders) == ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None, ())
    assert second.place == "0:1"


def test_a_driver_that_does_not_know_all_fields_is_asked_for_those_it_does(ssh: Ssh, host: Sshd) -> None:
    old = ", ".join(GPUS[0].split(", ")[:10])
    refuse = 'case "$*" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac;'
    smi(host, old, refuse=refuse)
    (gpu,) = look(ssh).gpus
    assert (gpu.name, gpu.utilization, gpu.capability, gpu.ecc_errors) == ("NVIDIA H100 80GB HBM3", 92, None, None)


@pytest.mark.parametrize(
    ("said", "state", "code"),
    [
        ("No devices were found", "no_gpu", None),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver_down", "CUDA_ERROR"),
        ("Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost.", "driver_down", "CUDA_ERROR"),
    ],
)
def test_a_driver_that_is_down_says_so_in_its_own_words(
    ssh: Ssh, host: Sshd, said: str, state: str, code: str | None
) -> None:
    host.script("nvidia-smi", f'echo "{said}"; exit 9')
    found = look(ssh)
    assert (found.state, found.code, found.gpus) == (state, code, ())
    assert code is None or said in found.detail


def test_no_driver_and_no_way_in(ssh: Ssh, host: Sshd) -> None:
    found = look(ssh)
    assert (found.state, found.code) == ("no_driver", None)
    ssh.close()
    (host.client.parent / "authorized").write_text("")
    found = look(ssh)
    assert (found.state, found.code) == ("unreachable", "PROVIDER_AUTH")
    assert "Permission denied" in found.detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0\xff",
        "status",
        "status\t0\ngpu\t,,,,,,,,,,,,",
        "status\t0\ngpu\t" + "9" * 400 + ", u, n, d, 1, 1, 1, 1, 1, 1",
        'status\t0\ngpu\t"0, u',
        "status\t0\ngpu\t0, u, n, d, 1e400, -1, nan, inf, ٣, 1, 1, 1, 1",
        "status\t0\ngpu\t" + GPUS[0] + "\napps\t0\napp\tGPU-aa, -1, 5\napp\tGPU-aa\napp\t,,,,\nprocess\t1\nclock\tx\ty",
    ],
)
def test_nonsense_is_taken_for_nothing(text: str) -> None:
    found = parse(text, 5)
    assert isinstance(found, HostLook)
    assert all((not gpu.holders and gpu.vram_total is None) or gpu.uuid == "GPU-aa" for gpu in found.gpus)


@pytest.mark.parametrize("told", ["", "<gpu id=", "<gpu id=\ntold\t<mig_device>" * 20_000, "<uuid>GPU-5d5ba0d6</uuid>"])
def test_nonsense_about_slices_leaves_what_is_listed(told: str) -> None:
    listed = "\n".join(f"listed\t{line}" for line in LISTED.splitlines())
    found = parse(f"status\t0\ngpu\t{SLICED}\n{listed}\ntold\t{told}", 5)
    assert [(gpu.place, gpu.vram_used) for gpu in found.gpus[1:]] == [("0:0", None), ("0:1", None)]
    endless = "\n".join(f"listed\tMIG x Device {n}: (UUID: MIG-{n})" for n in range(900))
    many = parse(f"status\t0\ngpu\t{SLICED}\nlisted\tGPU 0: H (UUID: GPU-5d5ba0d6)\n{endless}", 5)
    assert len(many.gpus) == 17


def test_nothing_in_an_answer_can_act() -> None:
    hostile = "\x1b]52;c;QQ==\x07\x1b[2J\x9b31m"
    text = f"status\t0\ngpu\t{GPUS[0].replace('NVIDIA', hostile)}\ncuda\t{hostile}\napps\t0\napp\tGPU-aa, 7, 1\n"
    text += f"clock\t10\t100\nprocess\t7\t1\t1 2\t{hostile}\t{hostile}\t{hostile}\n"
    found = parse(text, 5)
    assert "\x1b" not in str(found) and "\x9b" not in str(found)
    assert found.gpus[0].holders is not None


def test_an_answer_without_end_is_cut() -> None:
    many = "\n".join(f"gpu\t{GPUS[0].replace('0, GPU-aa', f'{n}, GPU-{n}', 1)}" for n in range(500))
    assert len(parse(f"status\t0\n{many}", 5).gpus) == 64
