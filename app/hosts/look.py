"""Looking at hosts by name: this machine through NVML, the others over SSH."""

import threading
import time
from collections.abc import Mapping

from app.domain.gpus import HostLook
from app.domain.hosts import LOCAL, parse_address
from app.hosts import remote
from app.hosts.nvml import Nvml
from app.hosts.ssh import Ssh
from app.settings import Home, Settings

PATIENCE_S = 20.0
"""How long `look_at_all` waits for the slowest host; longer than a look over SSH may take."""


class Eye:
    """What looks at one host, again and again. For one thread at a time; `look` may hang if the host's driver does."""

    def __init__(self, home: Home, name: str, address: str) -> None:
        self._nvml = Nvml() if name == LOCAL else None
        self._ssh = None if name == LOCAL else connection(home, address)

    def look(self) -> HostLook:
        """The host as it is now."""
        if self._nvml is not None:
            return self._nvml.look()
        if self._ssh is not None:
            return remote.look(self._ssh)
        return HostLook("unseen", time.time_ns() // 1_000, detail="Its GPUs cannot be seen: SSH does not lead there.")

    def close(self) -> None:
        """Let go of the driver; the connection to a host ends by itself."""
        if self._nvml is not None:
            self._nvml.close()


def connection(home: Home, address: str) -> Ssh | None:
    """The way to a host; None for one that is not reached by SSH."""
    found = parse_address(address)
    if found.scheme != "ssh":
        return None
    return Ssh(found.host, home.make_runtime(), user=found.user, port=found.port)


def addresses(settings: Settings) -> dict[str, str]:
    """Every host by name with its address, this machine first."""
    return {LOCAL: "", **{name: host.address for name, host in settings.hosts.items()}}


def look_at_all(home: Home, hosts: Mapping[str, str]) -> dict[str, HostLook]:
    """One look at every host of `hosts` (address by name), all at once. One that hangs is left behind and said so."""
    found: dict[str, HostLook] = {}

    def look(name: str, address: str) -> None:
        eye = Eye(home, name, address)
        found[name] = eye.look()
        eye.close()

    threads = [threading.Thread(target=look, args=each, daemon=True) for each in hosts.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = HostLook(
        "unreachable", time.time_ns() // 1_000, code="HOST_UNREACHABLE", detail=f"No answer within {PATIENCE_S:.0f} s."
    )
    return {name: found.get(name, silent) for name in hosts}
