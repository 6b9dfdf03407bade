"""Reading an attempt's output: whole, in pieces, across rotations, with a gap, from a point in time."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.failures import StokerError
from app.store.attempts import AttemptLines, AttemptLog
from app.store.lines import FileLines, Lines
from backends.output import Directory, Output


class Keeper:
    """The keeper's own writer of a directory, with small segments."""

    def __init__(self, path: Path, head: int = 20, tail: int = 20) -> None:
        path.mkdir()
        self._directory = Directory(str(path))
        self.output = Output(self._directory, head, tail)

    def write(self, data: bytes) -> None:
        """Output as the keeper stores it, with the record brought up to date."""
        self.output.write(data)
        self.record()

    def record(self) -> None:
        self._directory.write_json("record.json", {"segments": self.output.segments, "dropped": self.output.dropped})


def everything(log: AttemptLog, limit: int = 7) -> tuple[bytes, int]:
    """What can be read from the start, and how much is missing in between."""
    offset, found, missing = 0, b"", 0
    while (piece := log.read(offset, limit)).data:
        found, missing = found + piece.data, missing + piece.missing
        offset = piece.start + len(piece.data)
    return found, missing


def test_a_directory_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StokerError) as caught:
        AttemptLog(tmp_path / "gone")
    assert caught.value.code == "NOT_FOUND"


def test_a_log_before_its_record(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path)
    assert everything(log) == (b"", 0)
    (tmp_path / "head.log").write_bytes(b"first words\n")
    assert everything(log) == (b"first words\n", 0)
    (tmp_path / "record.json").write_bytes(b"{ cut")
    assert everything(log) == (b"first words\n", 0)
    assert not log.ended
    (tmp_path / "exit.json").write_text("{}")
    assert log.ended


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=12), st.integers(1, 64))
def test_whatever_is_kept_is_read_in_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], limit: int
) -> None:
    path = tmp_path_factory.mktemp("attempts") / "one"
    keeper = Keeper(path)
    for part in parts:
        keeper.write(part)
    whole = b"".join(parts)
    found, missing = everything(AttemptLog(path), limit)
    assert len(found) + missing == len(whole)
    if missing:
        assert found[:20] == whole[:20]
        assert whole.endswith(found[20:])
        assert len(found) > 40
    else:
        assert found == whole


@given(st.lists(st.binary(min_size=1, max_size=15), min_size=1, max_size=12))
def test_a_reader_that_keeps_up_misses_nothing(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("attempts") / "one"
    keeper = Keeper(path)
    log, offset, found = AttemptLog(path), 0, b""
    for part in parts:
        keeper.write(part)
        while (piece := log.read(offset)).data:
            assert piece.missing == 0
            found, offset = found + piece.data, piece.start + len(piece.data)
    assert found == b"".join(parts)


def test_a_record_that_lags_behind_a_rotation_misleads_nobody(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "one", head=4, tail=8)
    keeper.write(b"HEADtail-one")
    keeper.output.write(b"tail-two")  # rotated, and the record does not say so yet
    log = AttemptLog(tmp_path / "one")
    assert log.read(4).data in (b"", b"tail-one")
    keeper.record()
    assert everything(log) == (b"HEADtail-onetail-two", 0)


def test_a_gap_is_said_between_lines(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "one", head=12, tail=10)
    for number in range(10):
        keeper.write(b"line %d\n" % number)
    lines = list(AttemptLines(tmp_path / "one").poll())
    assert lines[0] == "line 0"
    gap = next(i for i, text in enumerate(lines) if text.startswith("…"))
    assert "bytes in between are not kept" in lines[gap]
    assert lines[-1] == "line 9"


def test_lines_come_as_they_are_completed(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "one", head=1000)
    lines = AttemptLines(tmp_path / "one")
    assert list(lines.poll()) == []
    keeper.write(b"one\ntw")
    assert list(lines.poll()) == ["one"]
    keeper.write("o ü".encode()[:-1])
    assert list(lines.poll()) == []
    keeper.write("ü".encode()[1:] + b"\nthree")
    assert list(lines.poll()) == ["two ü"]
    assert list(lines.end()) == ["three"]


def index(directory: Path, *pairs: tuple[int, int]) -> None:
    (directory / "times").write_bytes(b"".join(struct.pack("<QQ", *pair) for pair in pairs) + b"torn")


def test_output_since_a_time_begins_with_a_whole_line(tmp_path: Path) -> None:
    s = 1_000_000
    (tmp_path / "head.log").write_bytes(b"one\ntwo, in two parts\nthree\nfour\n")
    (tmp_path / "record.json").write_text(json.dumps({"segments": [{"name": "head.log", "start": 0}]}))
    index(tmp_path, (0, 10 * s), (9, 20 * s), (22, 30 * s))
    assert list(AttemptLines(tmp_path, 5 * s).poll()) == ["one", "two, in two parts", "three", "four"]
    assert list(AttemptLines(tmp_path, 15 * s).poll()) == ["three", "four"]
    assert list(AttemptLines(tmp_path, 25 * s).poll()) == ["three", "four"]
    late = AttemptLines(tmp_path, 99 * s)
    assert list(late.poll()) == []
    with (tmp_path / "head.log").open("ab") as file:
        file.write(b"five\n")
    assert list(late.poll()) == ["five"]


def test_bytes_become_lines_whatever_pieces_they_come_in() -> None:
    data = "ä\n\r\nlong ".encode() + b"\xff\xfe\n" + b"rest"
    for size in range(1, 8):
        lines = Lines()
        found = [text for i in range(0, len(data), size) for text in lines.feed(data[i : i + size])]
        assert [*found, *lines.end()] == ["ä", "\r", "long \ufffd\ufffd", "rest"]


def test_a_line_that_never_ends_is_given_in_parts() -> None:
    lines = Lines()
    found = [text for _ in range(3) for text in lines.feed(b"x" * (1 << 20))]
    assert sum(map(len, found)) >= 2 << 20


def test_a_file_is_followed_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    lines = FileLines(path)
    assert list(lines.poll()) == []
    path.write_text("one\n")
    assert list(lines.poll()) == ["one"]
    with path.open("a") as file:
        file.write("two\n")
    path.rename(tmp_path / "server.log.1")
    assert list(lines.poll()) == ["two"]
    path.write_text("three\nfour")
    assert list(lines.poll()) == ["three"]
    assert list(lines.end()) == ["four"]
