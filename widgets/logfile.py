"""A log in several files as one stream of bytes. Pure file work: no widget, no text.

Offsets count the bytes of the stream from its beginning, those that are no longer kept included. Where two files do
not meet there is a gap, which has offsets but no bytes. Files are read with `pread`: a mapped file that is truncated
while it is read kills the process.
"""

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log: where it is and the offset of its first byte in the stream.

    `inode`, if the writer of the log says it, guards against a file that was renamed since it was listed.
    """

    path: Path
    start: int
    inode: int | None = None


class LogSource(Protocol):
    """What a log pane reads from."""

    def parts(self) -> Sequence[Part]:
        """The files there are now, by `start`. Called in a thread, several times a second; may raise OSError."""
        ...

    def time_at(self, offset: int) -> str:
        """The time to show beside the line at `offset`, empty if not known.

        Called on the event loop for lines that are shown: it must answer from memory.
        """
        ...


@dataclass(frozen=True, slots=True)
class OneFile:
    """The source for a single file without times."""

    path: Path

    def parts(self) -> Sequence[Part]:
        return (Part(self.path, 0),)

    def time_at(self, offset: int) -> str:
        return ""


class _File:
    """An open file. Closed when the last stream that reads it is gone, which may be in a thread that still searches."""

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def read(self, at: int, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > 0 and (piece := os.pread(self._fd, count, at)):
            pieces.append(piece)
            at, count = at + len(piece), count - len(piece)
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Extent:
    """Offsets `start` to `end` of a stream: the bytes of one file, or a gap (`file` None)."""

    start: int
    end: int
    file: _File | None
    inode: int = 0

    @property
    def is_gap(self) -> bool:
        return self.file is None


class Stream:
    """A log as it was at one moment: extents that follow each other without a break. Immutable."""

    def __init__(self, extents: Sequence[Extent] = ()) -> None:
        self.extents = tuple(extents)
        self._starts = [extent.start for extent in self.extents]
        self.start = self.extents[0].start if self.extents else 0
        self.end = self.extents[-1].end if self.extents else 0

    def extent_at(self, offset: int) -> Extent | None:
        """The extent that holds `offset`; None outside the stream."""
        i = bisect_right(self._starts, offset) - 1
        return self.extents[i] if i >= 0 and offset < self.extents[i].end else None

    def gap_from(self, offset: int) -> int:
        """Where the next gap at or behind `offset` begins; the end of the stream if there is none."""
        i = max(0, bisect_right(self._starts, offset) - 1)
        return next((each.start for each in self.extents[i:] if each.is_gap and each.end > offset), self.end)

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`; fewer if there is a gap in between or a file has become shorter."""
        pieces: list[bytes] = []
        i = max(0, bisect_right(self._starts, start) - 1)
        for extent in self.extents[i:]:
            if extent.start >= end:
                break
            first, last = max(start, extent.start), min(end, extent.end)
            if extent.file is not None and first < last:
                pieces.append(extent.file.read(first - extent.start, last - first))
        return b"".join(pieces)

    def continues(self, older: "Stream") -> bool:
        """Whether this is `older` with nothing but bytes added at its end."""
        if len(self.extents) < len(older.extents):
            return False
        pairs = list(zip(older.extents, self.extents, strict=False))
        whole = all(
            (old.start, old.inode, old.is_gap) == (new.start, new.inode, new.is_gap) and old.end <= new.end
            for old, new in pairs
        )
        return whole and all(old.end == new.end for old, new in pairs[:-1])


def open_stream(parts: Sequence[Part], older: Stream | None = None) -> Stream:
    """The stream of these files as they are now. Files of `older` are read on without being opened again.

    A part whose file is gone or is another one than it says is left out, as if it had never been kept. Raises OSError
    for a file that may not be read.
    """
    known = {(each.start, each.inode): each.file for each in (older.extents if older else ()) if each.file is not None}
    found: list[Extent] = []
    for part in sorted(parts, key=lambda part: part.start):
        file = known.get((part.start, part.inode)) if part.inode is not None else None
        if file is None:
            try:
                file = _same_file(part, known) or _File(part.path)
            except FileNotFoundError:
                continue
        status = file.stat()
        if part.inode in (None, status.st_ino) and status.st_size:
            found.append(Extent(part.start, part.start + status.st_size, file, status.st_ino))
    extents: list[Extent] = []
    for n, each in enumerate(found):
        if extents and extents[-1].end < each.start:
            extents.append(Extent(extents[-1].end, each.start, None))
        end = min(each.end, found[n + 1].start) if n + 1 < len(found) else each.end
        extents.append(Extent(each.start, end, each.file, each.inode))
    return Stream(extents)


def _same_file(part: Part, known: dict[tuple[int, int], _File]) -> _File | None:
    return known.get((part.start, part.path.stat().st_ino)) if known else None
