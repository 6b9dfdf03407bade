"""The hosts that tests share within one run; other runs have others."""

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docker.certificates import make_certificates
from tests.docker.daemon import Daemon, daemon, require_docker
from tests.docker.remote import Remote, remote


@dataclass(frozen=True, slots=True)
class TlsHost:
    """A daemon that takes orders over TLS: its address, and the folder of the certificates for it."""

    daemon: Daemon
    address: str
    certificates: Path


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[Daemon]:
    """A real daemon that has our own image."""
    require_docker()
    # Not pytest's folder: what it is called is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="stk-") as folder, daemon(Path(folder)) as found:
        found.build_image()
        yield found


@pytest.fixture(scope="session")
def docker_tls() -> Iterator[TlsHost]:
    """Another, on a port of this machine's loopback, with certificates for both sides."""
    require_docker()
    with tempfile.TemporaryDirectory(prefix="stk-") as folder:
        made = make_certificates(Path(folder) / "certificates", "127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        files = {"tlscacert": "ca.pem", "tlscert": "server.pem", "tlskey": "server-key.pem"}
        options = ["--host", address, "--tlsverify", *(f"--{name}={made}/{file}" for name, file in files.items())]
        with daemon(Path(folder), options=options) as found:
            found.build_image()
            yield TlsHost(found, address, made)


@pytest.fixture(scope="session")
def docker_remote() -> Iterator[Remote]:
    """One on a host behind a cable, reached over SSH."""
    require_docker()
    with tempfile.TemporaryDirectory(prefix="stk-") as folder, remote(Path(folder)) as found:
        found.daemon.build_image()
        yield found
