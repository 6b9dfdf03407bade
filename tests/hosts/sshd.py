"""A real sshd on loopback for a test: its own configuration, keys and port, and a PATH that the test fills.

`ssh` finds its way through a wrapper on the test's PATH that gives it a configuration: the user's own is left alone.
"""

import getpass
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.gateway.process import wait_for

NAME = "gpubox"
"""The name under which `ssh` knows the host."""


@dataclass(frozen=True, slots=True)
class Sshd:
    """A host on loopback. `bin` is the first directory of its PATH, `client` the configuration of `ssh` for it."""

    port: int
    bin: Path
    client: Path
    wrapper: Path
    process: "subprocess.Popen[bytes]"

    def script(self, name: str, text: str) -> None:
        """Put a program on the host's PATH, whole or not at all."""
        write_program(self.bin / name, text)

    def hang_up(self) -> None:
        """End every connection, as a cut line does."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue


def write_program(path: Path, text: str) -> None:
    """A shell script at `path`."""
    partial = path.with_suffix(".partial")
    partial.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    partial.chmod(0o755)
    partial.replace(path)


@contextmanager
def sshd(directory: Path) -> Iterator[Sshd]:
    """A host for the length of the block; skips the test, with the reason, where none can be."""
    program = shutil.which("sshd", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin")))
    ssh = shutil.which("ssh")
    if program is None or ssh is None:
        pytest.skip("no sshd on this machine (Debian: openssh-server)")
    directory.mkdir(parents=True)
    directory.chmod(stat.S_IRWXU)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name],
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=30,
        )
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    config = _server_config(directory, port)
    tried = subprocess.run([program, "-t", "-f", config], capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode != 0:
        pytest.skip(f"sshd cannot run here: {tried.stderr.strip()}")
    client, wrapper = _client(directory, port, ssh)
    with (directory / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log)
    host = Sshd(port, directory / "bin", client, wrapper, process)
    try:
        wait_for(lambda: _listens(port))
        yield host
    finally:
        host.hang_up()
        process.terminate()
        process.wait(30)


def _server_config(directory: Path, port: int) -> Path:
    """A home of its own as well: what the shell of whoever runs the tests does when it starts is not part of them."""
    for name in ("bin", "home"):
        (directory / name).mkdir()
    shutil.copyfile(directory / "user.pub", directory / "authorized")
    path = directory / "sshd_config"
    path.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSetEnv PATH={directory}/bin:/usr/bin:/bin HOME={directory}/home\n",
        encoding="utf-8",
    )
    return path


def _client(directory: Path, port: int, ssh: str) -> tuple[Path, Path]:
    """The configuration of `ssh` for the host, and the directory of a wrapper that uses it."""
    kind, key, *_ = (directory / "host.pub").read_text("ascii").split()
    (directory / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n", encoding="ascii")
    client = directory / "ssh_config"
    client.write_text(
        f"Host {NAME}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"Host *\n  IdentityFile {directory}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {directory}/known\n  GlobalKnownHostsFile none\n",
        encoding="utf-8",
    )
    wrapper = directory / "client"
    wrapper.mkdir()
    write_program(wrapper / "ssh", f'exec {ssh} -F {client} "$@"')
    return client, wrapper


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
