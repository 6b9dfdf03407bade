"""The engine's output on disk: every byte where its offset says, and nothing missing without a word."""

import contextlib
import errno
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.output import Directory, Output


@contextlib.contextmanager
def writer(folder: Path, head_bytes: int, tail_bytes: int, kind: type[Directory] = Directory) -> Iterator[Output]:
    """An output, and the end of its process: a keeper leaves the closing of its files to the kernel."""
    before = set(Path("/dev/fd").iterdir())
    yield Output(kind(str(folder)), head_bytes, tail_bytes)
    for descriptor in set(Path("/dev/fd").iterdir()) - before:
        with contextlib.suppress(OSError):
            os.close(int(descriptor.name))


def read_back(folder: Path, output: Output) -> dict[int, bytes]:
    """Each segment's bytes by the offset at which they begin, as a reader of `record.json` finds them."""
    found = {}
    for segment in output.segments:
        path = folder / segment["name"]
        assert path.stat().st_ino == segment["inode"]
        found[segment["start"]] = path.read_bytes()
    return found


def times(folder: Path) -> list[tuple[int, int]]:
    return list(struct.iter_unpack("<QQ", (folder / "times").read_bytes()))


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=30))
def test_what_is_kept_is_the_head_and_the_tail(tmp_path_factory: Any, writes: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("attempt")
    with writer(folder, head_bytes=50, tail_bytes=40) as output:
        for data in writes:
            output.write(data)
    whole = b"".join(writes)
    kept = read_back(folder, output)
    assert all(whole[start : start + len(data)] == data for start, data in kept.items())
    assert b"".join(kept.values()) == whole or (kept[0] == whole[:50] and len(kept) == 3)
    if len(kept) == 3:
        assert 40 < sum(len(data) for data in list(kept.values())[1:]) <= 80
    assert sum(len(data) for data in list(kept.values())[-1:]) + max(kept, default=0) == len(whole)
    starts = [at for at, _ in times(folder)] if whole else []
    assert starts == sorted(starts)
    assert set(kept) <= set(starts), "each segment's first byte has its time"
    assert not any(50 <= at < sorted(kept)[1] for at in starts if len(kept) == 3), "no times of bytes that are gone"


def test_the_index_is_fine_but_not_longer_than_it_need_be(tmp_path: Path) -> None:
    with writer(tmp_path, head_bytes=10_000_000, tail_bytes=1) as output:
        for _ in range(1_000):
            output.write(b"x" * 1_000)
    entries = times(tmp_path)
    assert 15 <= len(entries) <= 40
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(entries)]
    assert max(gaps) <= 66_000


class Refusing(Directory):
    """A disk that says no to a new file when it is told to."""

    full = False

    def open(self, name: str, flags: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open(name, flags)


def test_a_disk_that_is_full_at_a_rotation_leaves_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writer(tmp_path, head_bytes=10, tail_bytes=10, kind=Refusing) as output:
        output.write(b"0123456789abcdefghij")
        monkeypatch.setattr(Refusing, "full", True)
        output.write(b"lost")
        output.write(b"also lost")
        assert output.dropped == 13
        assert read_back(tmp_path, output) == {0: b"0123456789", 10: b"abcdefghij"}
        monkeypatch.setattr(Refusing, "full", False)
        output.write(b"kept\n")
        assert output.dropped == 13
    words = (tmp_path / "tail.1.log").read_bytes() + (tmp_path / "tail.log").read_bytes()
    assert words.endswith(b"\n[stoker: 13 bytes of output dropped: disk full]\nkept\n")


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with writer(tmp_path, head_bytes=3, tail_bytes=3) as output:
            output.write(b"abcdefghijkl")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    assert directory.write_json("record.json", {"n": 1})
    (tmp_path / "record.json.partial").mkdir()
    assert not directory.write_json("record.json", {"n": 2})
    assert directory.read_json("record.json") == {"n": 1}
