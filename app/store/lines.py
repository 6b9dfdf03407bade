"""Bytes that arrive in pieces as lines of text, and the lines of a log file that is rotated while one reads it."""

import codecs
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

_LINE_LIMIT = 1 << 20
"""A line longer than this is given in parts, so that a program that never ends a line fills no memory."""
_READ = 1 << 20
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[.,](\d{3})")


class Lines:
    """Cuts bytes into lines of text, whatever pieces they come in; undecodable bytes become U+FFFD.

    With `skip_first` everything up to the first line end is left out.
    """

    def __init__(self, *, skip_first: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._skipping = skip_first

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes, without their ends."""
        if self._skipping:
            _, found, data = data.partition(b"\n")
            self._skipping = not found
        *whole, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        yield from whole
        if len(self._rest) > _LINE_LIMIT:
            yield self._rest
            self._rest = ""

    def end(self) -> Iterator[str]:
        """The line that was never ended, if there is one."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        if rest:
            yield rest


class FileLines:
    """A log file as lines, followed by name: when it is rotated, the rest of the old one comes first.

    With `since_us`, lines before the first that is stamped (local time) at or after it are left out.
    """

    def __init__(self, path: Path, since_us: int | None = None) -> None:
        self._path = path
        self._since_us = since_us
        self._fd: int | None = None
        self._lines = Lines()

    def poll(self) -> Iterator[str]:
        """Complete lines that have come since the last call."""
        yield from filter(self._due, self._new())

    def end(self) -> Iterator[str]:
        """What is left when nothing more will be read."""
        yield from filter(self._due, self._lines.end())
        self._close()

    def _new(self) -> Iterator[str]:
        if self._fd is None and not self._open():
            return
        yield from self._rest_of_file()
        if self._rotated():
            yield from self._rest_of_file()
            self._close()
            if self._open():
                yield from self._rest_of_file()

    def _rest_of_file(self) -> Iterator[str]:
        while self._fd is not None and (data := os.read(self._fd, _READ)):
            yield from self._lines.feed(data)

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _rotated(self) -> bool:
        try:
            return self._fd is not None and not os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _due(self, text: str) -> bool:
        if self._since_us is None:
            return True
        if (stamp := _STAMP.match(text)) is None:
            return False
        at = datetime.fromisoformat(stamp[1]).astimezone().timestamp() * 1_000_000 + int(stamp[2]) * 1_000
        if at >= self._since_us:
            self._since_us = None
        return self._since_us is None
