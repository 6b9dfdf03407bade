"""Reading the output of an attempt while it is being written, rotated and cut in the middle.

The directory holds `head.log` (the first bytes), `tail.1.log` and `tail.log` (the last ones). `record.json` says which
file, by name and inode, holds the whole output from which byte on, so a reader keeps one global offset whatever is
renamed. `times` holds pairs of little-endian u64: a global offset, and the UTC microsecond at which output reached it.
"""

import json
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.domain.failures import StokerError
from app.store.lines import Lines

READ_LIMIT = 1 << 20
_PAIR = struct.Struct("<QQ")
_INDEX_US = 1_000_000
"""The index has an entry for every second of output, so what follows an entry is at most that much younger."""
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the output from global offset `start` on. `missing` bytes before them are not kept any more."""

    start: int
    data: bytes
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the output: its name, the global offset of its first byte, and which file it was when that was said.

    `inode` is None where nobody has said it.
    """

    name: str
    start: int
    inode: int | None = None


def segments(directory: Path) -> list[Segment]:
    """The files that hold the output of an attempt, in order; before any is recorded, the one that will be first."""
    try:
        record = json.loads((directory / "record.json").read_bytes())
        found = [Segment(str(s["name"]), int(s["start"]), s.get("inode")) for s in record.get("segments", ())]
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        found = []
    return sorted(found, key=lambda segment: segment.start) or [Segment("head.log", 0)]


class TimeIndex:
    """When the output of an attempt came, read from `times` and kept in memory, 16 bytes an entry."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "times"
        self._read = (0, 0)
        self._offsets = array("Q")
        self._times = array("Q")

    def refresh(self) -> None:
        """Read what has been added; all of it if the file is another one, because output was rotated away."""
        try:
            with self._path.open("rb") as file:
                inode, end = self._read
                status = os.fstat(file.fileno())
                if status.st_ino != inode or status.st_size < end:
                    self._offsets, self._times, end = array("Q"), array("Q"), 0
                file.seek(end)
                data = file.read()
        except FileNotFoundError:
            return
        whole = len(data) // _PAIR.size * _PAIR.size
        pairs = list(_PAIR.iter_unpack(data[:whole]))
        # In this order, because another thread may look an offset up meanwhile.
        self._times.extend(at for _, at in pairs)
        self._offsets.extend(offset for offset, _ in pairs)
        self._read = status.st_ino, end + whole

    def time_at(self, offset: int) -> int | None:
        """The UTC microsecond at which the byte at a global offset came, or up to a second earlier; None if unknown."""
        i = bisect_right(self._offsets, offset) - 1
        return self._times[i] if i >= 0 else None

    def offset_at(self, at: int) -> int | None:
        """The global offset that output had reached at a UTC microsecond, or up to a second earlier.

        None if nothing came since.
        """
        pairs = zip(self._offsets, self._times, strict=False)
        return next((offset for offset, time in pairs if time + _INDEX_US > at), None)


class AttemptLog:
    """The output of the attempt in `directory`, from wherever one wants. Raises NOT_FOUND when there is none."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise StokerError("NOT_FOUND", "The log of this attempt is not kept any more.", "Newer logs took its room.")
        self._directory = directory

    @property
    def ended(self) -> bool:
        """Whether the attempt is over, and so its log complete."""
        return (self._directory / "exit.json").exists()

    def read(self, offset: int, limit: int = READ_LIMIT) -> Piece:
        """Up to `limit` bytes from global offset `offset` on, none if there is nothing new."""
        for _ in range(_TRIES):
            try:
                return self._read(offset, limit)
            except (FileNotFoundError, _Moved):
                continue  # rotated between the look at the record and ours at the file
        return Piece(offset, b"")

    def end(self) -> int:
        """The global offset of the next byte that will be written."""
        for _ in range(_TRIES):
            last = segments(self._directory)[-1]
            try:
                with self._open(last) as file:
                    return last.start + os.fstat(file.fileno()).st_size
            except (FileNotFoundError, _Moved):
                continue
        return 0

    def offset_at(self, since_us: int) -> int:
        """The global offset that output had reached at UTC microsecond `since_us`, or up to a second earlier."""
        if not (self._directory / "times").exists():
            return 0
        index = TimeIndex(self._directory)
        index.refresh()
        found = index.offset_at(since_us)
        return self.end() if found is None else found

    def _read(self, offset: int, limit: int) -> Piece:
        found = segments(self._directory)
        for segment, after in zip(found, (*found[1:], None), strict=True):
            if after is not None and offset >= after.start:
                continue
            begin = max(offset, segment.start)
            with self._open(segment) as file:
                file.seek(begin - segment.start)
                data = file.read(limit if after is None else min(limit, after.start - begin))
            if data:
                return Piece(begin, data, begin - offset)
        return Piece(offset, b"")

    def _open(self, segment: Segment) -> BinaryIO:
        file = (self._directory / segment.name).open("rb")
        if segment.inode not in (None, os.fstat(file.fileno()).st_ino):
            file.close()
            raise _Moved
        return file


class _Moved(Exception):
    """The file is not the one that the record meant."""


class AttemptLines:
    """The output of an attempt as lines, each call of `poll` giving those that are new.

    With `since_us` from the first line that began after that time.
    """

    def __init__(self, directory: Path, since_us: int | None = None) -> None:
        self.log = AttemptLog(directory)
        start = 0 if since_us is None else self.log.offset_at(since_us)
        # From one byte earlier: only that byte says whether the first line is a whole one.
        self._offset = max(0, start - 1)
        self._lines = Lines(skip_first=start > 0)

    def poll(self) -> Iterator[str]:
        """Complete lines that have come since the last call; what is missing between them is said."""
        while (piece := self.log.read(self._offset)).data:
            if piece.missing:
                yield from self._lines.end()
                yield f"… {piece.missing:,} bytes in between are not kept …"
            self._offset = piece.start + len(piece.data)
            yield from self._lines.feed(piece.data)

    def end(self) -> Iterator[str]:
        """The last line, if it was never ended."""
        return self._lines.end()
