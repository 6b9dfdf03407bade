"""How a script is run for a host: over SSH on it, else here, with Docker's own command turned to the host's daemon."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.hosts import parse_address
from app.hosts.look import connection
from app.hosts.ssh import Ssh, SshFailed
from app.settings import Home

_SOCKET_VARIABLE = "STOKER_DOCKER_SOCKET"
"""As backends/docker_host.py has it."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a host. `ssh` is None where none leads there; `docker` are variables by which Docker's command finds
    the host's daemon."""

    ssh: Ssh | None = None
    docker: Mapping[str, str] = field(default_factory=dict)

    def run(self, script: str, timeout_s: float, more: Mapping[str, str] | None = None) -> str:
        """What `script` prints, with `more` variables set. Raises SshFailed."""
        values = {**self.docker, **(more or {})}
        text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()) + script
        if self.ssh is not None:
            return self.ssh.run(text, timeout_s).out.decode("utf-8", "replace")
        try:
            done = subprocess.run(
                ["sh", "-s"],
                input=text.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SshFailed("unreachable", f"It could not be asked: {error}.") from error
        return done.stdout.decode("utf-8", "replace")


def way(home: Home, address: str) -> Way:
    """The way to the host at `address`; an empty one is this machine's."""
    return Way(connection(home, address), _docker(address)) if address else Way()


def _docker(address: str) -> dict[str, str]:
    found = parse_address(address)
    if found.scheme == "ssh":
        socket = os.environ.get(_SOCKET_VARIABLE)
        return {"DOCKER_HOST": f"unix://{socket}"} if socket else {}
    if found.scheme == "context":
        return {"DOCKER_HOST": "", "DOCKER_CONTEXT": found.path}
    return {"DOCKER_HOST": str(found), **({"DOCKER_TLS_VERIFY": "1"} if found.scheme == "tcp" else {})}
