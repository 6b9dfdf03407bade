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

DEADLINE_S = 60.0
_RUN = """
from app.console import Console, Options
from app.settings import find_home
Console(find_home(), Options()).run()
"""


class Pty:
    """A console on `home`, in a terminal of `columns` by `rows`. `received` is all it has written."""

    def __init__(self, home: Home, columns: int = 120, rows: int = 40) -> None:
        self.received = b""
        self._marked = 0
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
        self.mark()
        os.write(self._fd, text.encode())

    def mark(self) -> None:
        """Look from now on only at what comes after what was received."""
        self._marked = len(self.received)

    def until(self, *texts: str) -> None:
        """Read on until all of these have come since keys were pressed, or it was marked, last."""
        deadline = time.monotonic() + DEADLINE_S
        while missing := [text for text in texts if text.encode() not in self.received[self._marked :]]:
            left = deadline - time.monotonic()
            assert left > 0, f"{missing} never came; last: {self.received[-2_000:]!r}"
            if select.select([self._fd], [], [], left)[0]:
                self.received += os.read(self._fd, 65_536)
