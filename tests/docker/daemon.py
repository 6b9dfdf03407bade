"""A Docker daemon of the tests' own: its data, its socket and its bridge belong to nobody else, and go with it."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = "localhost/stoker/llama.cpp:latest"
_UP_WITHIN_S = 40.0
_MISSING = "no Docker daemon can be started here: "


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon, and the folder of its data."""

    socket: Path
    folder: Path

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def docker(self, *words: str, check: bool = True) -> str:
        """What Docker's own command prints, which is no part of what is tested."""
        done = subprocess.run(
            ["docker", "-H", self.address, *words], capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def build_image(self) -> None:
        """Make our own image there, from what is installed here."""
        builder = [sys.executable, "-I", "-m", "backends.llamacpp_image", "--docker-host", self.address]
        subprocess.run(builder, check=True, capture_output=True, timeout=120)


def require_docker() -> None:
    """Skip, with the reason, where no daemon can be had."""
    if os.geteuid() != 0:
        pytest.skip(_MISSING + "it takes root")
    for program in ("dockerd", "docker", "ip", "iptables"):
        if shutil.which(program) is None:
            pytest.skip(f"{_MISSING}{program} is not installed")
    if not Path("/sys/fs/cgroup").is_mount():
        pytest.skip(_MISSING + "there are no control groups")


@contextmanager
def daemon(folder: Path, prefix: Sequence[str] = (), options: Sequence[str] = ()) -> Iterator[Daemon]:
    """A daemon with its data in `folder`, on a bridge of its own. `prefix` starts it elsewhere, as in a namespace."""
    require_docker()
    with _bridge(prefix) as bridge:
        here = folder / "d.sock"
        command = [
            *prefix,
            *("dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
            *("--pidfile", f"{folder}/pid", "--host", f"unix://{here}"),
            *("--bridge", bridge, "--iptables=false", "--ip-masq=false", "--ip-forward=false", *options),
        ]
        log = folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        try:
            _await(here, process, log)
            yield Daemon(here, folder)
        finally:
            _end(process)
            for mounted in ("data", "exec"):
                shutil.rmtree(folder / mounted, ignore_errors=True)


@contextmanager
def _bridge(prefix: Sequence[str]) -> Iterator[str]:
    """A bridge that no other daemon uses, with a network that nothing here is in."""
    for number in range(os.getpid() % 200, os.getpid() % 200 + 50):
        name = f"stoker{number % 250}"
        if subprocess.run(
            [*prefix, "ip", "link", "add", name, "type", "bridge"], capture_output=True, check=False
        ).returncode:
            continue
        try:
            subprocess.run([*prefix, "ip", "addr", "add", f"10.213.{number % 250}.1/24", "dev", name], check=True)
            subprocess.run([*prefix, "ip", "link", "set", name, "up"], check=True)
            yield name
        finally:
            subprocess.run([*prefix, "ip", "link", "del", name], check=False)
        return
    pytest.skip(_MISSING + "no network bridge can be made")


def _await(here: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _UP_WITHIN_S
    while not _answers(here):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"{_MISSING}{log.read_text(errors='replace')[-400:]}")
        time.sleep(0.05)


def _answers(here: Path) -> bool:
    connection = http.client.HTTPConnection("localhost", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(here))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
