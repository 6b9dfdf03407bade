"""SSH to a host: one connection kept open for all that is done there, never a prompt, and the user's own configuration.

The first command opens a master connection (`ControlMaster`) at a socket of ours, which outlives the command by a
minute; what follows goes through it. Nothing is installed on the host.
"""

import hashlib
import os
import re
import selectors
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

Reason = Literal["unreachable", "no_key", "host_key", "no_client", "too_much"]

CONNECT_TIMEOUT_S = 8
_PERSIST_S = 60
_ALIVE_S = 5
_ERROR_BYTES = 8_192
_SIGNS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    ("host_key", re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED")),
    ("no_key", re.compile(r"Permission denied|Too many authentication failures|No supported authentication methods")),
)


class SshFailed(Exception):
    """The host could not be asked. `text` is a sentence, where there is one the line that ssh said."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command on the host came to: its exit status and what it printed."""

    status: int
    out: bytes


class Ssh:
    """The way to `host`, a name that `ssh` knows. Its socket is in `directory`, whose path must be short.

    `user` and `port` are left to the user's own configuration unless given.
    """

    def __init__(self, host: str, directory: Path, *, user: str | None = None, port: int | None = None) -> None:
        self.host = host.strip("[]")
        self._options = [*(["-l", user] if user else []), *(["-p", str(port)] if port is not None else [])]
        name = hashlib.sha256("\0".join((*self._options, host)).encode()).hexdigest()[:16]
        self.socket = directory / f"ssh-{name}"

    def command(self, *words: str) -> list[str]:
        """The `ssh` command line that runs `words` on the host through the master, opening it if need be."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ControlMaster": "auto",
            "ControlPath": str(self.socket),
            "ControlPersist": str(_PERSIST_S),
            "ServerAliveInterval": str(_ALIVE_S),
            "ServerAliveCountMax": "3",
            "StreamLocalBindUnlink": "yes",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "RequestTTY": "no",
            "LogLevel": "ERROR",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", *given, *self._options, "--", self.host, *words]

    def run(self, script: str, timeout_s: float, most: int = 1_000_000) -> Answer:
        """Have `sh` on the host run `script`. Raises SshFailed, also after `timeout_s` or more than `most` bytes."""
        # Its errors go to a file: a master that is left behind would hold a pipe open for a minute.
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    self.command("sh", "-s"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # a terminal that could be asked for a password is out of its reach
                    env={**os.environ, "LC_ALL": "C"},
                )
            except FileNotFoundError as error:
                raise SshFailed("no_client", "There is no `ssh` on this machine.") from error
            try:
                status, out = _converse(process, script.encode(), time.monotonic() + timeout_s, most)
            finally:
                process.kill()
                process.wait()
                _close(process)
            if status != 255:
                return Answer(status, out)
            errors.seek(0)
            raise _failure(errors.read(_ERROR_BYTES).decode("utf-8", "replace"))

    def close(self) -> None:
        """End the master connection, if there is one."""
        if self.socket.exists():
            words = self.command()
            where = words.index("--")
            subprocess.run(
                [*words[:where], "-O", "exit", *words[where:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CONNECT_TIMEOUT_S,
                check=False,
            )


def _converse(process: "subprocess.Popen[bytes]", text: bytes, deadline: float, most: int) -> tuple[int, bytes]:
    """Feed `text` and read what comes, both bounded by the deadline; the exit status and the output."""
    stdin, stdout = _pipes(process)
    os.set_blocking(stdin.fileno(), False)
    out = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise SshFailed("unreachable", "The host did not answer in time.")
            for key, _ in ready:
                if key.fileobj is stdout:
                    part = os.read(stdout.fileno(), 65_536)
                    out += part
                    if len(out) > most:
                        raise SshFailed("too_much", f"The host answered with more than {most:,} bytes.")
                    if not part:
                        selector.unregister(stdout)
                else:
                    text = _feed(stdin, text)
                    if not text:
                        selector.unregister(stdin)
                        stdin.close()
    try:
        return process.wait(max(0.1, deadline - time.monotonic())), bytes(out)
    except subprocess.TimeoutExpired as error:
        raise SshFailed("unreachable", "The connection did not end in time.") from error


def _feed(stdin: IO[bytes], text: bytes) -> bytes:
    """Write what the pipe takes; what is left. Nobody left to read it is told by the exit status."""
    try:
        return text[os.write(stdin.fileno(), text) :]
    except BrokenPipeError:
        return b""


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("ssh was started without pipes")
    return process.stdin, process.stdout


def _close(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _failure(said: str) -> SshFailed:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason: Reason = next((reason for reason, sign in _SIGNS if sign.search(said)), "unreachable")
    proof = next((line for line in lines if any(sign.search(line) for _, sign in _SIGNS)), None)
    text = proof or (lines[-1] if lines else "The connection ended without a word")
    return SshFailed(reason, f"{text.rstrip('.')}.")
