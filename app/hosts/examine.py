"""The test of a host: can it be reached, has it a driver, a container daemon, and a toolkit that gives GPUs to that."""

import re
from collections.abc import Iterator

from app.domain.gpus import HostLook
from app.domain.text import clean_text
from app.hosts import remote
from app.hosts.processes import LONGEST
from app.hosts.ssh import Ssh, SshFailed
from app.launch.checks import Check, failed, passed

_TIMEOUT_S = 30.0
_DAEMON = """
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
if ! command -v docker >/dev/null 2>&1; then echo missing; exit 0; fi
docker info --format '{{.ServerVersion}} {{json .Runtimes}}' 2>&1
printf '\\nstatus %s\\n' "$?"
command -v nvidia-ctk nvidia-container-cli nvidia-container-runtime 2>/dev/null
"""
_REACH = {
    "no_key": (
        "PROVIDER_AUTH",
        "Let your key in there (`ssh-copy-id {}`), or load it into your agent (`ssh-add`).",
    ),
    "host_key": ("PROVIDER_AUTH", "Connect once by hand, and compare the host's key before you accept it: `ssh {}`."),
    "no_client": ("ENTRYPOINT_MISSING", "Install OpenSSH's client."),
}


def examine(ssh: Ssh) -> Iterator[Check]:
    """Every check of a host, in an order in which a later one depends on an earlier."""
    try:
        ssh.run("true", _TIMEOUT_S)
    except SshFailed as error:
        code, remedy = _REACH.get(error.reason, ("HOST_UNREACHABLE", ""))
        yield failed("ssh", code, clean_text(error.text, LONGEST), remedy.format(ssh.host))
        return
    yield passed("ssh", f"{ssh.host} answers")
    look = remote.look(ssh)
    yield driver(look)
    try:
        text = ssh.run(_DAEMON, _TIMEOUT_S).out.decode("utf-8", "replace")
    except SshFailed as error:
        yield failed("docker", "HOST_UNREACHABLE", clean_text(error.text, LONGEST))
        return
    yield from _daemon(text, gpus=bool(look.gpus))


def unseen(address: str) -> Check:
    """The one check of a host that SSH does not lead to."""
    return passed("ssh", f"{address} is not reached by SSH, so its GPUs cannot be seen")


def driver(look: HostLook) -> Check:
    """What a look says of a host's driver and GPUs. No GPU at all is worth a word, and no failure."""
    if look.code is not None:
        return failed("gpu", look.code, look.detail)
    if not look.gpus:
        return passed("gpu", look.detail)
    lost = next((gpu for gpu in look.gpus if gpu.trouble), None)
    if lost is not None:
        return failed("gpu", "CUDA_ERROR", f"GPU {lost.index}: {lost.trouble}")
    names = ", ".join(f"{gpu.index} {gpu.name}" for gpu in look.gpus)
    return passed("gpu", f"{names}; driver {look.driver}" + (f", CUDA {look.cuda}" if look.cuda else ""))


def _daemon(text: str, *, gpus: bool) -> Iterator[Check]:
    lines = [clean_text(line, LONGEST) for line in text.splitlines() if line.strip()]
    if lines[:1] == ["missing"]:
        yield failed("docker", "HOST_UNREACHABLE", "There is no `docker` on this host.", "Install Docker there.")
        return
    if "status 0" not in lines:
        said = lines[0] if lines else "docker said nothing."
        denied = "permission denied" in said.lower()
        remedy = (
            "Put the user into the group `docker` there." if denied else "Start it there: `systemctl start docker`."
        )
        yield failed("docker", "PROVIDER_AUTH" if denied else "HOST_UNREACHABLE", said, remedy)
        return
    version, _, runtimes = lines[0].partition(" ")
    yield passed("docker", f"version {version}")
    if not gpus:
        return
    if '"nvidia"' in runtimes or any(re.search(r"/nvidia-(?:ctk|container-)", line) for line in lines):
        yield passed("toolkit", "the NVIDIA container toolkit is installed")
    else:
        text = "Containers there cannot be given GPUs: no NVIDIA container toolkit."
        yield failed("toolkit", "GPU_ACCESS", text, "Install it there, then `nvidia-ctk runtime configure`.")
