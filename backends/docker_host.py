"""Reaching a Docker daemon: on this machine, through a Docker context, over SSH, or over TLS."""

import logging
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests
from docker import APIClient
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig

from backends.base import CouldNotLook, HostFacts
from backends.tunnel import Connection

API_VERSION = "1.41"
"""What every daemon since 20.10 (2020) speaks. Named, because asking for it is a call that ignores `trust_env`."""
TIMEOUT_S = 10
REMOTE_SOCKET = "/var/run/docker.sock"
SOCKET_VARIABLE = "STOKER_DOCKER_SOCKET"
"""Where the daemon's socket is on hosts that are reached over SSH, if it is elsewhere."""

log = logging.getLogger(__name__)


class DockerHost:
    """The daemon at `address`; None is this machine's own: `DOCKER_HOST`, else the current Docker context.

    `folder` is a short path for sockets. Nothing is connected before the first call.
    """

    def __init__(self, address: str | None, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._ssh: Connection | None = None
        self._lock = threading.RLock()
        self._api: Any = None

    @property
    def remote(self) -> bool:
        """Whether its files and its loopback are not ours."""
        return not self._base()[0].startswith("unix://")

    @property
    def publish_at(self) -> str:
        """The host's address at which engines are published: its loopback, which SSH reaches; TLS ends at the daemon,
        and an engine behind it is reached where the daemon is."""
        base, _ = self._base()
        name = urlsplit(base).hostname if base.startswith("tcp://") else None
        return "127.0.0.1" if name in (None, "127.0.0.1", "localhost") else "0.0.0.0"  # noqa: S104 # the host was given

    def client(self, timeout_s: int = TIMEOUT_S) -> Any:
        """A client of its own for one thread; whoever asked for it closes it. Raises CouldNotLook."""
        base, tls = self._base()
        try:
            if base.startswith("ssh://"):
                socket = self._connection(base).forward_socket(os.environ.get(SOCKET_VARIABLE, REMOTE_SOCKET))
                base = f"unix://{socket}"
            elif base.startswith("tcp://") and tls is None:
                raise CouldNotLook(f"{base} would be reached without TLS, and whoever reaches it is root there")
            api = APIClient(base_url=base, version=API_VERSION, timeout=timeout_s, tls=tls or False)
        except (DockerException, OSError, ValueError) as error:
            raise CouldNotLook(str(error)) from error
        # REQUESTS_CA_BUNDLE would replace the authority that the daemon's certificate is checked against.
        api.trust_env = False
        return api

    def shared(self) -> Any:
        """A client for short calls, kept open. Raises CouldNotLook."""
        with self._lock:
            if self._api is None:
                self._api = self.client()
            return self._api

    def lost(self) -> None:
        """The shared client did not work: the next call gets another."""
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def reach(self, port: int, before: int | None) -> tuple[str, int | None]:
        """The base URL here of a port on the host's loopback, and the port on ours that leads to it if that differs."""
        base, _ = self._base()
        if base.startswith("ssh://"):
            local = self._connection(base).forward_port(port, before)
            return f"http://127.0.0.1:{local}", local
        if base.startswith("tcp://"):
            return f"http://{urlsplit(base).hostname}:{port}", None
        return f"http://127.0.0.1:{port}", None

    def leave(self, local: int, port: int) -> None:
        """Undo `reach`."""
        base, _ = self._base()
        if base.startswith("ssh://"):
            self._connection(base).drop_port(port, local)

    def facts(self, info: dict[str, Any]) -> HostFacts:
        """The host as its daemon describes it in `info`, and the memory that is free now as its system says.

        A daemon does not say what is free; behind TLS nobody else is there to be asked, and all of it counts as free.
        """
        name, total = str(info["Name"]), int(info["MemTotal"])
        base, _ = self._base()
        if base.startswith("unix://"):
            return HostFacts(name, total, min(total, psutil.virtual_memory().available))
        if base.startswith("ssh://"):
            lines = self._connection(base).run(["cat", "/proc/meminfo"]).splitlines()
            free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), total)
            return HostFacts(name, total, min(total, free))
        return HostFacts(name, total, total)

    def close(self) -> None:
        """End the connection that was kept up."""
        self.lost()
        base, _ = self._base()
        if base.startswith("ssh://"):
            self._connection(base).close()

    def _connection(self, address: str) -> Connection:
        with self._lock:
            self._ssh = self._ssh or Connection(address, self._folder)
            return self._ssh

    def _base(self) -> tuple[str, TLSConfig | None]:
        """The daemon's own address, and the certificates for it."""
        if self._address == "":
            raise CouldNotLook("it is not configured any more")
        address = self._address or os.environ.get("DOCKER_HOST") or "context://"
        if not address.startswith("context://"):
            return address, _certificates() if address.startswith("tcp://") else None
        name = address.removeprefix("context://")
        # By name first: the SDK takes one that does not exist for this machine's.
        context = ContextAPI.get_context(name or None)
        if context is None:
            raise CouldNotLook(f"there is no Docker context {name!r}")
        return context.Host or f"unix://{REMOTE_SOCKET}", context.TLSConfig


def _certificates() -> TLSConfig | None:
    """The certificates that Docker's own commands use: in DOCKER_CERT_PATH, else `~/.docker`; None without any."""
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    ca, cert, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    if not ca.is_file():
        return None
    client = (str(cert), str(key)) if cert.is_file() else None
    return TLSConfig(client_cert=client, ca_cert=str(ca), verify=True)


UNREACHED = (requests.RequestException, OSError)
"""What a call raises when the daemon was not reached; the SDK's own errors, which are answers, come before these."""
