"""The spool: what happened to requests, a line each time, in a file that outlives the process however it dies.

A line is a JSON list: `s` (the request goes to an engine) or `e` (it is over), then a row of the `requests` table. The
row of an `s` line is the one to keep if no `e` line follows. A `write` puts them into the page cache, where `kill -9`
cannot take them back: an `s` line before the engine is asked, an `e` line with the next `s` line, or a millisecond
later.
"""

import asyncio
import logging
import os
import time
from collections import deque
from pathlib import Path

log = logging.getLogger(__name__)

FILE_LIMIT = 16 << 20
"""Bytes after which a new file is begun, so that drained ones can be removed."""
WAITING_LIMIT = 10_000
"""Lines kept in memory while the disk takes none."""
DELAY_S = 0.001
"""How long an end waits for company. A write of its own for each would be a tenth of what a request costs."""


class Spool:
    """The writing end. Used by the event loop only; `path` may be read by any thread."""

    def __init__(self, directory: Path, file_limit: int = FILE_LIMIT) -> None:
        self._directory = directory
        self._file_limit = file_limit
        self._open: dict[str, bytes] = {}
        self._noted: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[bytes] = deque(maxlen=WAITING_LIMIT)
        self._broken = False
        self._number = 0
        self._begin()

    def start(self, request_id: str, line: str) -> None:
        """Note that a request is about to reach an engine. Again for another engine."""
        data = line.encode() + b"\n"
        self._open[request_id] = data
        self._noted.append(data)
        self.flush()

    def end(self, request_id: str, line: str) -> None:
        """Note how a request ended."""
        self._open.pop(request_id, None)
        self._noted.append(line.encode() + b"\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self.flush)

    def flush(self) -> None:
        """Write what is noted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._noted:
            lines, self._noted = self._noted, []
            self._append(b"".join(lines))

    @property
    def settled(self) -> bool:
        """Whether every request noted has ended, and everything is written."""
        return not (self._open or self._noted or self._waiting)

    def close(self) -> None:
        """Close the file. Nothing may be noted afterwards."""
        self.flush()
        self._retry()
        os.close(self._fd)

    def _begin(self) -> None:
        # Named by the time, so that files are drained in the order in which they were written.
        self._number = max(time.time_ns(), self._number + 1)
        path = self._directory / f"{self._number:020}.jsonl"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self.path = path

    def _append(self, line: bytes) -> None:
        if self._size > self._file_limit:
            self._rotate()
        if self._waiting or not self._write(line):
            self._waiting.append(line)
            self._retry()

    def _rotate(self) -> None:
        """Begin a new file with the requests still open, so that the old one needs nothing that comes later."""
        old = self._fd
        try:
            self._begin()
        except OSError as error:
            self._complain(error)
            return
        os.close(old)
        for line in self._open.values():
            self._append(line)

    def _retry(self) -> None:
        while self._waiting and self._write(self._waiting[0]):
            self._waiting.popleft()

    def _write(self, line: bytes) -> bool:
        """Write whole lines; False if the disk did not take it. A torn line is ended by the newline of the next."""
        line = b"\n" + line if self._broken else line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._complain(error)
            return False
        self._size += written
        whole = written == len(line)
        if self._broken and whole:
            log.warning("The spool can be written again.")
        self._broken = not whole
        return whole

    def _complain(self, error: OSError) -> None:
        if not self._broken:
            log.error("The spool cannot be written: %s. Requests are kept in memory meanwhile.", error)
        self._broken = True
