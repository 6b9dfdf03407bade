"""The test of a host: can it be reached, has it a driver, a container daemon, and a toolkit that gives GPUs to that."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from app.domain.gpus import HostLook
from app.domain.text import clean_text
from app.hosts import remote
from app.hosts.processes import LONGEST
from app.hosts.ssh import SshFailed
from app.hosts.way import way
from app.launch.checks import Check, failed, passed
from app.settings import Home

_TIMEOUT_S = 30.0
TOOLKIT = ("nvidia-ctk", "nvidia-container-cli", "nvidia-container-runtime")
"""Programs of NVIDIA's container toolkit: any of them shows that it is installed."""
_DAEMON = f"""
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
if ! command -v docker >/dev/null 2>&1; then echo missing; exit 0; fi
docker info --format '{{{{.ServerVersion}}}} {{{{json .Runtimes}}}}' 2>&1
printf '\\nstatus %s\\n' "$?"
command -v {" ".join(TOOLKIT)} 2>/dev/null
"""
_REACH = {
    "no_key": (
        "PROVIDER_AUTH",
        "Let your key in there (`ssh-copy-id {}`), or load it into your agent (`ssh-add`).",
    ),
    "host_key": ("PROVIDER_AUTH", "Connect once by hand, and compare the host's key before you accept it: `ssh {}`."),
    "no_client": ("ENTRYPOINT_MISSING", "Install OpenSSH's client."),
}
_SAID = (
    ("permission denied", "PROVIDER_AUTH", "Put the user into the group `docker` there."),
    (
        r"certificate|\btls\b|x509",
        "PROVIDER_AUTH",
        "Put ca.pem, cert.pem and key.pem for it into ~/.docker, or set DOCKER_CERT_PATH.",
    ),
    (r"context .*not found|context not found", "CONFIG_INVALID", "See which there are: `docker context ls`."),
)
_STOPPED = ("HOST_UNREACHABLE", "Start it there: `systemctl start docker`.")


def examine(home: Home, address: str) -> Iterator[Check]:
    """Every check of a host, in an order in which a later one depends on an earlier.

    Where SSH does not lead, its daemon is all that there is to ask.
    """
    there = way(home, address)
    gpus = False
    if there.ssh is None:
        yield passed("ssh", f"{address} is not reached by SSH, so its GPUs cannot be seen")
    else:
        try:
            there.ssh.run("true", _TIMEOUT_S)
        except SshFailed as error:
            code, remedy = _REACH.get(error.reason, ("HOST_UNREACHABLE", ""))
            yield failed("ssh", code, clean_text(error.text, LONGEST), remedy.format(there.ssh.host))
            return
        yield passed("ssh", f"{there.ssh.host} answers")
        look = remote.look(there.ssh)
        yield driver(look)
        gpus = bool(look.gpus)
    try:
        text = there.run(_DAEMON, _TIMEOUT_S)
    except SshFailed as error:
        yield failed("docker", "HOST_UNREACHABLE", clean_text(error.text, LONGEST))
        return
    yield from _daemon(text, gpus=gpus, here=there.ssh is None)


def examine_all(home: Home, hosts: Mapping[str, str]) -> Iterator[Check]:
    """One check a host of `hosts` (address by name), all at once: the first thing that is wrong, or what it has."""
    if not hosts:
        return
    with ThreadPoolExecutor(len(hosts), "examine") as pool:
        yield from pool.map(lambda each: _whole(each[0], list(examine(home, each[1]))), hosts.items())


def _whole(name: str, checks: Sequence[Check]) -> Check:
    wrong = next((check for check in checks if check.result == "fail"), None)
    if wrong is not None:
        return replace(wrong, name=f"host {name}")
    return passed(f"host {name}", "; ".join(f"{check.name}: {check.detail}" for check in checks))


def driver(look: HostLook) -> Check:
    """What a look says of a host's driver and GPUs. No GPU at all is worth a word, and no failure."""
    if look.code is not None:
        return failed("gpu", look.code, look.detail)
    if not look.gpus:
        return passed("gpu", look.detail)
    lost = next((gpu for gpu in look.gpus if gpu.trouble), None)
    if lost is not None:
        return failed("gpu", "CUDA_ERROR", f"GPU {lost.place}: {lost.trouble}")
    names = ", ".join(f"{gpu.place} {gpu.name}" for gpu in look.gpus)
    return passed("gpu", f"{names}; driver {look.driver}" + (f", CUDA {look.cuda}" if look.cuda else ""))


def _daemon(text: str, *, gpus: bool, here: bool) -> Iterator[Check]:
    """What Docker's own command said on the host; `here` if it was asked on this machine."""
    lines = [clean_text(line, LONGEST) for line in text.splitlines() if line.strip()]
    if lines[:1] == ["missing"]:
        where = "this machine, which alone could ask its daemon" if here else "this host"
        remedy = "Install Docker's command." if here else "Install Docker there."
        yield failed("docker", "HOST_UNREACHABLE", f"There is no `docker` on {where}.", remedy)
        return
    if "status 0" not in lines:
        said = lines[0] if lines else "docker said nothing."
        code, remedy = next((found for sign, *found in _SAID if re.search(sign, said, re.IGNORECASE)), _STOPPED)
        yield failed("docker", code, said, remedy)
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
