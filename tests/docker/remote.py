"""A host behind a cable: a network namespace with an sshd and a Docker daemon, whose loopback is not ours."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.docker.daemon import Daemon, daemon

NAME = "gpubox"
"""What `ssh` knows the host as."""


@dataclass(frozen=True, slots=True)
class Remote:
    """The host: its daemon, the folder of an `ssh` that knows the way, and the cable's end on this side."""

    daemon: Daemon
    wrapper: Path
    cable: str

    @property
    def environment(self) -> dict[str, str]:
        """What a server needs in its environment to get there."""
        path = f"{self.wrapper}:{os.environ['PATH']}"
        return {"PATH": path, "STOKER_DOCKER_SOCKET": str(self.daemon.socket)}

    def cut(self) -> None:
        """Pull the cable out."""
        _ip("link", "set", self.cable, "down")

    def mend(self) -> None:
        """Put it in again."""
        _ip("link", "set", self.cable, "up")


@contextmanager
def remote(folder: Path) -> Iterator[Remote]:
    """The host for the length of the block; skips, with the reason, where there can be none."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    ssh = shutil.which("ssh")
    if program is None or ssh is None:
        pytest.skip("no sshd on this machine (Debian: openssh-server)")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which Debian leaves to a service manager
    with _namespace() as (space, cable, address):
        # Not `ip netns exec`, which hides the control groups.
        prefix = ("nsenter", f"--net=/var/run/netns/{space}")
        (folder / "docker").mkdir()
        with daemon(folder / "docker", prefix) as found:
            wrapper, config = _keys(folder, address, ssh)
            with (folder / "sshd.log").open("wb") as log:
                process = subprocess.Popen(
                    [*prefix, program, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=log
                )
            try:
                _await(address, folder / "sshd.log")
                yield Remote(found, wrapper, cable)
            finally:
                # Those of a cable that is gone would wait for ever.
                sessions = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                process.wait(30)
                for session in sessions:
                    with suppress(psutil.NoSuchProcess):
                        session.kill()


@contextmanager
def _namespace() -> Iterator[tuple[str, str, str]]:
    """A namespace on a cable: its name, the cable's end on this side, and the address at the other."""
    number = os.getpid() % 250
    space, here, there = f"stoker-{os.getpid()}", f"stk{os.getpid()}h", f"stk{os.getpid()}n"
    if subprocess.run(["ip", "netns", "add", space], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
        _ip("addr", "add", f"10.214.{number}.1/30", "dev", here)
        _ip("link", "set", here, "up")
        for words in (("addr", "add", f"10.214.{number}.2/30", "dev", there), ("link", "set", there, "up")):
            _ip("-n", space, *words)
        _ip("-n", space, "link", "set", "lo", "up")
        yield space, here, f"10.214.{number}.2"
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", here)
        _ip("netns", "del", space)


def _keys(folder: Path, address: str, ssh: str) -> tuple[Path, Path]:
    """Keys for both sides: the folder of an `ssh` that uses them, and the configuration of the server."""
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, stdin=subprocess.DEVNULL, check=True)
    kind, key, *_ = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"{address} {kind} {key}\n")
    shutil.copyfile(folder / "user.pub", folder / "authorized")
    (folder / "home").mkdir()  # what the shell of whoever runs the tests does when it starts is not part of them
    server = folder / "sshd_config"
    server.write_text(
        f"ListenAddress {address}:22\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv HOME={folder}/home\n"
    )
    client = folder / "ssh_config"
    client.write_text(
        f"Host {NAME}\n  HostName {address}\n  User root\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  IdentityAgent none\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile none\n"
    )
    wrapper = folder / "bin"
    wrapper.mkdir()
    script = wrapper / "ssh"
    script.write_text(f'#!/bin/sh\nexec {ssh} -F {client} "$@"\n')
    script.chmod(0o755)
    return wrapper, server


def _await(address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((address, 22), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                pytest.skip(f"sshd does not come up here: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.05)
        else:
            return


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
