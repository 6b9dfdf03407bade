"""The console in a pseudo-terminal: keys in, and every byte that reaches the terminal kept."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from app.settings import Home

DEADLINE_S = 30.0
_RUN = """
from app.console import Console, Options
from app.settings import find_home
Console(find_home(), Options()).run()
"""


class Pty:
    """A console on `home`, in a terminal of `columns` by `rows`. `received` is all it has written."""

    def __init__(self, home: Home, columns: int = 120, rows: int = 40) -> None:
        self.received = b""
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(columns), "LINES": str(rows)}
        environment = {**os.environ, "STOKER_HOME": str(home.state), **terminal}
        self._fd, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def keys(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def until(self, text: str) -> None:
        """Read on until `text` comes that had not come before this call."""
        start, deadline = len(self.received), time.monotonic() + DEADLINE_S
        while text.encode() not in self.received[start:]:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} never came; since: {self.received[start : start + 30_000]!r}"
            if select.select([self._fd], [], [], left)[0]:
                self.received += os.read(self._fd, 65_536)
