"""One private connection a host (OpenSSH's ControlMaster), over which everything for that host goes.

It asks nothing (BatchMode) and reads `~/.ssh/config` as `ssh` itself does. It outlives the process that opened it,
since engines behind it are being used; whoever comes next finds it by its control socket.
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from backends.base import CouldNotLook

CONNECT_TIMEOUT_S = 10
ALIVE_EVERY_S = 5
_VERB_TIMEOUT_S = 20.0
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_TIMEOUT_S),
    "ServerAliveInterval": str(ALIVE_EVERY_S),
    "ServerAliveCountMax": "3",
    "StreamLocalBindUnlink": "yes",
    "StreamLocalBindMask": "0177",
    "ExitOnForwardFailure": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "ControlPersist": "no",
}


class Connection:
    """The connection to `address` (`ssh://[user@]host[:port]`), its sockets in `folder`, which is short and private."""

    def __init__(self, address: str, folder: Path) -> None:
        parts = urlsplit(address)
        if parts.scheme != "ssh" or not parts.hostname or parts.hostname.startswith("-"):
            raise ValueError(f"{address!r:.80} is no address for SSH")
        user = [] if parts.username is None else ["-l", parts.username]
        port = [] if parts.port is None else ["-p", str(parts.port)]
        self._destination = (*user, *port, "--", parts.hostname)
        name = hashlib.sha256(address.encode()).hexdigest()[:12]
        self._control = folder / f"{name}.ctl"
        self._folder = folder
        self._name = name
        self._lock = threading.RLock()

    def open(self) -> None:
        """Make sure that it stands. Raises CouldNotLook with SSH's own last line."""
        with self._lock:
            if self._tell("check").returncode == 0:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A master that was killed leaves its socket, and the next one would refuse to be one.
            self._control.unlink(missing_ok=True)
            # Into a file, since it keeps what it was given as its standard error for as long as it lives.
            with tempfile.TemporaryFile() as said:
                done = self._run(["-f", "-N", "-M", *self._destination], said.fileno())
                if done.returncode == 0:
                    return
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise CouldNotLook(last or f"ssh ended with status {done.returncode}")

    def forward_socket(self, remote: str) -> Path:
        """The path of a socket here that leads to the socket `remote` there."""
        digest = hashlib.sha256(remote.encode()).hexdigest()[:6]
        here = self._folder / f"{self._name}-{digest}.sock"
        with self._lock:
            if not _accepts(here):
                self._forward(f"{here}:{remote}", stale=here)
        return here

    def forward_port(self, remote: int, local: int | None = None) -> int:
        """The port on this machine's loopback that leads to the port `remote` of the host's.

        `local` is the one that it was before, taken again if it can be had.
        """
        self.open()
        for port in ([local] if local is not None else []) + [_free_port()]:
            if self._tell("forward", "-L", f"127.0.0.1:{port}:127.0.0.1:{remote}").returncode == 0:
                return port
        raise CouldNotLook(f"port {remote} of the host could not be forwarded")

    def drop_port(self, remote: int, local: int) -> None:
        """Forward it no longer."""
        self._tell("cancel", "-L", f"127.0.0.1:{local}:127.0.0.1:{remote}")

    def run(self, command: Sequence[str], timeout_s: float = _VERB_TIMEOUT_S) -> str:
        """What `command`, words for the host's shell, prints there. CouldNotLook unless it ends well, in time."""
        self.open()
        try:
            done = subprocess.run(
                ["ssh", "-S", str(self._control), *self._settings(), *self._destination, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CouldNotLook(f"{command[0]} on the host: {error}") from error
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise CouldNotLook(last or f"{command[0]} on the host ended with status {done.returncode}")
        return done.stdout.decode(errors="replace")

    def close(self) -> None:
        """End it, whoever opened it."""
        self._tell("exit")
        for path in self._folder.glob(f"{self._name}*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _forward(self, what: str, stale: Path) -> None:
        self.open()
        if not _accepts(stale):
            # Known to the connection and yet not there: somebody deleted the socket. Ask for it anew.
            self._tell("cancel", "-L", what)
            stale.unlink(missing_ok=True)
            done = self._tell("forward", "-L", what)
            if done.returncode:
                raise CouldNotLook(done.stderr.decode(errors="replace").strip() or "the socket could not be forwarded")

    def _tell(self, verb: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = ["ssh", "-S", str(self._control), "-O", verb, *self._settings(), *words, *self._destination]
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_VERB_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CouldNotLook(f"ssh could not be told to {verb}: {error}") from error

    def _run(self, words: list[str], said: int) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["ssh", "-S", str(self._control), *self._settings(), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
                timeout=CONNECT_TIMEOUT_S + _VERB_TIMEOUT_S,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CouldNotLook(f"ssh could not be started: {error}") from error

    def _settings(self) -> list[str]:
        return [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]


def _accepts(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            probe.connect(str(path))
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
