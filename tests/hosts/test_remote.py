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
*) echo '| NVIDIA-SMI 570.86.10   Driver Version: 570.86.10   CUDA Version: 12.8     |' ;;
esac"""


def smi(host: Sshd, *gpus: str, apps: str = "", refuse: str = "") -> None:
    """The host's nvidia-smi, which says this from now on."""
    host.script("nvidia-smi", SMI.format(gpus="\n".join(gpus), apps=apps, refuse=refuse))


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
