"""Bytes of a file by their place in it: of one on this machine, or of one that a server gives out in parts."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from app.domain.failures import StokerError
from app.domain.text import safe

if TYPE_CHECKING:
    import httpx2

_CHUNK = 1 << 20
_MOST_READ = 1 << 28
"""More is no header: the largest published ones, of GGUF files with large vocabularies, are some 20 MB."""


class Source(Protocol):
    """A file of `size` bytes that can be read in parts."""

    name: str
    size: int

    def read(self, start: int, count: int) -> bytes:
        """Exactly `count` bytes from `start`, both within the file. Raises MODEL_LOAD_ERROR or OFFLINE."""
        ...


class LocalFile:
    """A file on this machine. Raises MODEL_NOT_FOUND if it cannot be opened, or is no plain file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            # Without O_NONBLOCK a pipe would be waited for.
            self._file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
        except OSError as error:
            raise StokerError("MODEL_NOT_FOUND", f"`{safe(str(path))}` cannot be read: {error.strerror}.") from error
        facts = os.fstat(self._file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            self._file.close()
            raise StokerError("MODEL_NOT_FOUND", f"`{safe(str(path))}` is not a file.")
        self.size = facts.st_size

    def read(self, start: int, count: int) -> bytes:
        data = os.pread(self._file.fileno(), count, start)
        if len(data) != count:
            raise StokerError("MODEL_LOAD_ERROR", f"{safe(self.name, 80)} became shorter while it was read.")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class RemoteFile:
    """A file that a server gives out by range. The size is what its first answer says."""

    def __init__(self, client: "httpx2.Client", url: str, name: str, headers: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._client = client
        self._url = url
        self._headers = dict(headers or {})
        self.size = 0
        self._first = self._fetch(0, _CHUNK)

    def read(self, start: int, count: int) -> bytes:
        if start + count <= len(self._first):
            return self._first[start : start + count]
        return self._fetch(start, count)

    def _fetch(self, start: int, count: int) -> bytes:
        import httpx2

        headers = {**self._headers, "Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", self._url, headers=headers, follow_redirects=True) as answer:
                self._check(answer, start)
                wanted = min(count, self.size - start)
                data = bytearray()
                for block in answer.iter_raw():
                    data += block
                    if len(data) >= wanted:
                        break
        except httpx2.HTTPError as error:
            raise StokerError("OFFLINE", f"{safe(self.name, 80)} cannot be fetched: {_reason(error)}.") from error
        if len(data) < wanted:
            raise StokerError("OFFLINE", f"The connection broke while {safe(self.name, 80)} was read.")
        return bytes(data[:wanted])

    def _check(self, answer: "httpx2.Response", start: int) -> None:
        """The answer is the part that was asked for, or the whole from its beginning."""
        name = safe(self.name, 80)
        if answer.status_code in (401, 403):
            raise StokerError("MODEL_GATED", f"The hub does not give out {name}.")
        if answer.status_code == 404:
            raise StokerError("MODEL_NOT_FOUND", f"The hub has no {name}.")
        if answer.status_code not in (200, 206) or (answer.status_code == 200 and start):
            raise StokerError("OFFLINE", f"The hub answered {answer.status_code} for a part of {name}.")
        said = answer.headers.get("Content-Length" if answer.status_code == 200 else "Content-Range", "")
        unit, _, total = said.rpartition("/")
        begins = answer.status_code == 200 or unit.startswith(f"bytes {start}-")
        if not (total.isascii() and total.isdecimal() and len(total) < 18 and begins):
            raise StokerError("OFFLINE", f"The hub does not say which part of {name} it sent.")
        if self.size and int(total) != self.size:
            raise StokerError("OFFLINE", f"{name} changed on the hub while it was read.")
        self.size = int(total)


class Reader:
    """Reads a source from its beginning, never more of it than a header may be."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 0
        self._start = 0
        self._data = b""

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises MODEL_LOAD_ERROR if the file has fewer, or the header has no end."""
        self._hold(count)
        begin = self.at - self._start
        self.at += count
        return self._data[begin : begin + count]

    def skip(self, count: int) -> None:
        """Pass over the next `count` bytes."""
        if count > self.source.size - self.at:
            raise self._short()
        self.at += count

    def _hold(self, count: int) -> None:
        if count > self.source.size - self.at:
            raise self._short()
        if self.at + count > _MOST_READ:
            name = safe(self.source.name, 80)
            raise StokerError("MODEL_LOAD_ERROR", f"The header of {name} is longer than {_MOST_READ:,} bytes.")
        if self._start <= self.at and self.at + count <= self._start + len(self._data):
            return
        self._data = self.source.read(self.at, min(max(count, _CHUNK), self.source.size - self.at))
        self._start = self.at

    def _short(self) -> StokerError:
        return StokerError("MODEL_LOAD_ERROR", f"{safe(self.source.name, 80)} ends before its header does.")


def _reason(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return safe(text.splitlines()[0].rstrip("."), 200)
