"""An engine's output on disk, and the directory it lies in.

Used by the keeper too: standard library only, and little of it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import struct
import time

TYPE_CHECKING = False  # as mypy knows it, without the memory that importing `typing` costs
if TYPE_CHECKING:
    from typing import Any

HEAD_BYTES = 10_000_000
TAIL_BYTES = 45_000_000

_CHUNK = 65_536
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NEWLINE = 0x0A
_ENTRY = struct.Struct("<QQ")
_INDEX_EVERY_BYTES = 65_536
_INDEX_EVERY_US = 1_000_000


class Directory:
    """The attempt's directory, held open, so that it may be moved while the keeper runs."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    @property
    def gone(self) -> bool:
        """Whether it was removed."""
        return os.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT, 0o600, dir_fd=self._fd)

    def rename(self, name: str, to: str) -> None:
        os.rename(name, to, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def write_json(self, name: str, data: dict[str, Any]) -> bool:
        """Replace the file `name` in one step; False if the disk would not take it."""
        partial = f"{name}.partial"
        try:
            fd = self.open(partial, os.O_WRONLY | os.O_TRUNC)
            try:
                text = json.dumps(data).encode()
                if os.write(fd, text) < len(text):
                    return False
            finally:
                os.close(fd)
            self.rename(partial, name)
        except OSError:
            return False
        return True

    def read_json(self, name: str) -> object:
        """The parsed file `name`; None when there is no such file, or no sense in it."""
        try:
            fd = os.open(name, os.O_RDONLY, dir_fd=self._fd)
        except OSError:
            return None
        try:
            return json.loads(os.read(fd, _CHUNK))
        except (OSError, ValueError):
            return None
        finally:
            os.close(fd)


class Output:
    """The engine's output on disk: the head, then a rotating tail, and the index of when each byte came.

    Offsets count the bytes that were written since the start, the ones rotated away included. `segments` says which
    file (by name and inode) holds them from which offset on. Bytes that the disk would not take are counted in
    `dropped` and have no offset; a line in the log says so as soon as one can be written.
    """

    def __init__(self, directory: Directory, head_bytes: int, tail_bytes: int) -> None:
        self._directory = directory
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self.segments: list[dict[str, Any]] = []
        self.dropped = 0
        self._fd = self._times = -1
        self._room = self._offset = self._head_end = 0
        self._indexed: tuple[int, int] | None = None
        self._unsaid = 0
        self._why = ""
        self._line_open = False

    @property
    def offset(self) -> int:
        """How many bytes of output there are, the ones rotated away included."""
        return self._offset

    def resume(self, segments: list[dict[str, Any]], end: int) -> None:
        """Go on after another writer, which left `segments`, at global offset `end`; what it wrote beyond goes."""
        last = segments[-1]
        fd = self._directory.open(str(last["name"]), os.O_WRONLY | os.O_APPEND)
        size = min(os.fstat(fd).st_size, max(0, end - int(last["start"])))
        os.ftruncate(fd, size)
        self._fd, self.segments, self._offset = fd, segments, int(last["start"]) + size
        self._head_end = int(segments[1]["start"]) if len(segments) > 1 else 0
        self._room = (self._tail_bytes if len(segments) > 1 else self._head_bytes) - size

    def close(self) -> None:
        """Let go of the files; nothing more is written."""
        for fd in (self._fd, self._times):
            if fd >= 0:
                os.close(fd)
        self._fd = self._times = -1

    def write(self, data: bytes) -> None:
        """Append `data`, or drop and count what the disk does not take. Raises nothing."""
        view = memoryview(data)
        while view:
            try:
                if self._room <= 0:
                    self._next_segment()
                self._index()
                if self._unsaid:
                    self._say()
                    continue
                written = os.write(self._fd, view[: self._room])
            except OSError as error:
                self._why = "disk full" if error.errno in _FULL else os.strerror(error.errno or 0)
                self.dropped += len(view)
                self._unsaid += len(view)
                return
            self._line_open = view[written - 1] != _NEWLINE
            self._advance(written)
            view = view[written:]

    def _advance(self, written: int) -> None:
        self._offset += written
        self._room -= written

    def _say(self) -> None:
        """Say in the log what was dropped: the whole line, or nothing and an error."""
        line = f"[stoker: {self._unsaid} bytes of output dropped: {self._why}]\n"
        text = ("\n" + line if self._line_open else line).encode()
        size = os.fstat(self._fd).st_size
        if os.write(self._fd, text) < len(text):
            os.ftruncate(self._fd, size)
            raise OSError(errno.ENOSPC, "")
        self._advance(len(text))
        self._line_open = False
        self._unsaid = 0

    def _next_segment(self) -> None:
        """Go on in the next file. The new one is made first: a full disk then leaves everything as it was."""
        fd = self._directory.open("log.partial", os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
        name = "tail.log" if self.segments else "head.log"
        if len(self.segments) == 1:
            self._head_end = self._offset
        elif self.segments:
            self._directory.rename("tail.log", "tail.1.log")
            self.segments = [self.segments[0], {**self.segments[-1], "name": "tail.1.log"}]
        self._directory.rename("log.partial", name)
        if self._fd >= 0:
            os.close(self._fd)
        self.segments.append({"name": name, "start": self._offset, "inode": os.fstat(fd).st_ino})
        self._fd = fd
        self._room = self._tail_bytes if len(self.segments) > 1 else self._head_bytes
        self._indexed = None
        if len(self.segments) > 2:
            self._forget_times(self.segments[1]["start"])

    def _index(self) -> None:
        """Note the time of the bytes that come next, but no more often than the index is fine."""
        now = time.time_ns() // 1_000
        if self._indexed is not None:
            offset, at = self._indexed
            if self._offset - offset < _INDEX_EVERY_BYTES and 0 <= now - at < _INDEX_EVERY_US:
                return
        self._indexed = self._offset, now
        # A full disk costs the index some precision, and the output nothing.
        with contextlib.suppress(OSError):
            if self._times < 0:
                self._times = self._directory.open("times", os.O_RDWR | os.O_APPEND)
            if os.write(self._times, _ENTRY.pack(self._offset, now)) < _ENTRY.size:
                os.ftruncate(self._times, os.fstat(self._times).st_size // _ENTRY.size * _ENTRY.size)

    def _forget_times(self, kept_from: int) -> None:
        """Drop the index entries of the bytes that were rotated away, between the head and `kept_from`."""
        with contextlib.suppress(OSError):
            fd = self._directory.open("times.partial", os.O_RDWR | os.O_APPEND | os.O_TRUNC)
            at = 0
            while block := os.pread(self._times, _CHUNK, at):
                kept = (e for e in _ENTRY.iter_unpack(block) if not self._head_end <= e[0] < kept_from)
                os.write(fd, b"".join(_ENTRY.pack(*entry) for entry in kept))
                at += len(block)
            self._directory.rename("times.partial", "times")
            os.close(self._times)
            self._times = fd
