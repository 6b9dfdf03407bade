"""Streams of several files and the index of their lines, against what reading them whole says."""

from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets import logindex
from widgets.logfile import OneFile, Part, Stream, open_stream
from widgets.logindex import LINE_LIMIT, LineIndex, TwoWay


def whole(index: LineIndex) -> list[bytes]:
    """Every line of an index, a gap as `<bytes missing>`."""
    while index.scan_back():
        pass
    lines = []
    for line in range(index.low, index.high):
        gap = index.gap(line)
        lines.append(index.raw(line)[0] if gap is None else b"<%d>" % gap)
    return lines


def expected(pieces: Sequence[bytes | int]) -> list[bytes]:
    """The lines of bytes that stand together, and of gaps (numbers) between them."""
    lines: list[bytes] = []
    run = b""
    for piece in [*pieces, 0]:
        if isinstance(piece, bytes):
            run += piece
            continue
        lines += run.removesuffix(b"\n").split(b"\n") if run else []
        run = b""
        lines += [b"<%d>" % piece] if piece else []
    return lines


def write(directory: Path, pieces: Sequence[bytes | int]) -> list[Part]:
    """The pieces as files, numbers as gaps between them."""
    parts: list[Part] = []
    offset = 0
    for n, piece in enumerate(pieces):
        if isinstance(piece, int):
            offset += piece
            continue
        path = directory / f"{n}.log"
        path.write_bytes(piece)
        parts.append(Part(path, offset))
        offset += len(piece)
    return parts


TEXT = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\n\n", b"line\n"]), max_size=30).map(b"".join)
SOME = TEXT.filter(bool)


@st.composite
def logs(draw: st.DrawFn) -> list[bytes | int]:
    """Files that begin a log, with gaps between some of them."""
    pieces: list[bytes | int] = [draw(SOME)]
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            pieces.append(draw(st.integers(1, 50)))
        pieces.append(draw(SOME))
    return pieces


@settings(max_examples=200, deadline=None)
@given(pieces=logs(), block=st.integers(1, 12), growth=st.lists(TEXT, max_size=4), scans=st.integers(0, 5))
def test_the_index_finds_every_line(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes | int], block: int, growth: list[bytes], scans: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logindex, "BLOCK", block)
        parts = write(directory, pieces)
        index = LineIndex(open_stream(parts))
        for more in growth:
            for _ in range(scans):
                index.scan_back()
            with parts[-1].path.open("ab") as file:
                file.write(more)
            stream = open_stream(parts, index.stream)
            assert stream.continues(index.stream)
            assert index.grow(stream) == bool(more)
        lines = expected([*pieces, *growth])
        assert whole(index) == lines
        assert index.complete
        for line in range(index.low, index.high):
            assert index.find(index.start(line)) == line
            assert index.find(index.end(line) - 1) == line
            assert index.number(line) == line - index.low + 1
        for forward in (True, False):
            seen: list[int] = []
            line = index.low if forward else index.high - 1
            while index.low <= line < index.high:
                first, last, data = index.chunk(line, forward)
                assert first <= line < last
                assert len(data) <= max(block, max((len(each) + 1 for each in lines), default=0))
                seen = [*seen, *range(first, last)] if forward else [*range(first, last), *seen]
                if index.gap(first) is None:
                    assert data.removesuffix(b"\n").split(b"\n") == [index.raw(each)[0] for each in range(first, last)]
                line = last if forward else first - 1
            assert seen == list(range(index.low, index.high))


@given(st.lists(st.integers(0, 1000), unique=True).map(sorted), st.integers(0, 30), st.integers(-5, 1005))
def test_numbers_that_grow_at_both_ends_are_found(numbers: list[int], cut: int, value: int) -> None:
    cut = min(cut, len(numbers))
    both = TwoWay("Q")
    both.append(numbers[cut:])
    both.prepend(numbers[:cut])
    assert [both[i] for i in range(both.low, both.high)] == numbers
    assert both.rank(value) - both.low + 1 == sum(number <= value for number in numbers)


def test_a_line_that_grows_is_still_the_same_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    index = LineIndex(open_stream(OneFile(path).parts()))
    index.scan_back()
    assert (index.low, index.high, index.raw(-1)) == (-2, 0, (b"tw", False))
    assert not index.ended(-1)
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert index.grow(open_stream(OneFile(path).parts(), index.stream))
    assert (index.raw(-1), index.raw(0)) == ((b"two", False), (b"three", False))
    assert index.ended(0)


def test_long_lines_are_cut_and_carriage_returns_at_the_end_removed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (LINE_LIMIT + 5) + b"\nwindows\r\n" + b"y" * LINE_LIMIT)
    index = LineIndex(open_stream([Part(path, 0)]))
    while index.scan_back():
        pass
    assert index.raw(-3) == (b"x" * LINE_LIMIT, True)
    assert index.raw(-2) == (b"windows", False)
    assert index.raw(-1) == (b"y" * LINE_LIMIT, False)


def test_of_a_long_progress_line_the_last_state_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    states = b"\r".join(b"%5d of 20000" % n for n in range(20_000))
    path.write_bytes(states + b"\rdone\r\n" + states)
    index = LineIndex(open_stream([Part(path, 0)]))
    while index.scan_back():
        pass
    assert index.raw(-2) == (b"done", False)
    assert index.raw(-1, 100) == (b"19999 of 20000", False)


def test_a_rotated_file_is_read_on_by_its_inode(tmp_path: Path) -> None:
    tail = tmp_path / "tail.log"
    tail.write_bytes(b"one\ntwo\n")
    inode = tail.stat().st_ino
    index = LineIndex(open_stream([Part(tail, 0, inode)]))
    tail.rename(tmp_path / "tail.1.log")
    tail.write_bytes(b"three\n")
    # The list was made before the rename: the name is another file's by now, and the known one is read on.
    stale = open_stream([Part(tail, 0, inode)], index.stream)
    assert stale.continues(index.stream)
    assert stale.end == 8
    fresh = [Part(tmp_path / "tail.1.log", 0, inode), Part(tail, 8, tail.stat().st_ino)]
    stream = open_stream(fresh, index.stream)
    assert stream.continues(index.stream)
    index.grow(stream)
    assert whole(index) == [b"one", b"two", b"three"]
    # Opened anew with a list that is out of date, nothing wrong is shown.
    assert open_stream([Part(tail, 0, inode)]).extents == ()


def test_what_is_rotated_away_or_cut_does_not_continue(tmp_path: Path) -> None:
    parts = write(tmp_path, [b"head\n", b"middle\n", b"tail\n"])
    stream = open_stream(parts)
    assert not open_stream([parts[0], parts[2]], stream).continues(stream)
    parts[2].path.write_bytes(b"t")
    cut = open_stream(parts, stream)
    assert not cut.continues(stream)
    parts[1].path.unlink()
    assert [extent.is_gap for extent in open_stream(parts).extents] == [False, True, False]
    assert stream.continues(Stream())


def test_nothing_is_left_open(tmp_path: Path) -> None:
    parts = write(tmp_path, [b"head\n", b"tail\n"])
    before = psutil.Process().num_fds()
    stream = open_stream(parts)
    again = open_stream(parts, stream)
    del stream, again
    assert psutil.Process().num_fds() == before


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        LineIndex(open_stream([Part(tmp_path, 0)]))
    assert open_stream([Part(tmp_path / "missing", 0)]).end == 0
