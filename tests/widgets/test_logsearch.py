"""Search and filter, against looking at every shown line."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets import logindex
from widgets.logfile import Part, open_stream
from widgets.logindex import LineIndex
from widgets.logsearch import Filter, Pattern, search


def clean(text: str) -> str:
    """What a caller does: no escape sequences, of a progress line the last state."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text.rstrip("\r").rpartition("\r")[2])


def index_of(directory: Path, data: bytes) -> LineIndex:
    path = directory / "log"
    path.write_bytes(data)
    return LineIndex(open_stream([Part(path, 0)]))


def go_on(fraction: float) -> bool:
    return 0.0 <= fraction <= 1.0


LOG = b"".join((
    b"INFO loading shards\n",
    b"\x1b[31mERROR\x1b[0m: out of memory\n",
    b"  3%|#   |\r 75%|### |\r100%|####| done\n",
    b"info again\n",
    b"caf\xc3\xa9 [b]open[/b]\n",
    b"INFO end",
))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "regex", "lines"),
    [
        ("info", False, [0, 3, 5]),
        ("INFO", False, [0, 5]),
        ("ERROR: out", False, [1]),
        ("75%", False, []),
        ("100%", False, [2]),
        ("[b]", False, [4]),
        ("é", False, [4]),
        (r"\d+%.*done$", True, [2]),
        (r"^\w+ (load|end)", True, [0, 5]),
        (r"shards\s+ERROR", True, []),
        (r"^ERROR", True, [1]),
        (r"\s+error", True, []),
        ("nothing", False, []),
    ],
)
def test_finds_what_is_shown_both_ways(tmp_path: Path, text: str, regex: bool, lines: list[int]) -> None:
    index = index_of(tmp_path, LOG)
    pattern = Pattern(text, regex=regex)
    back: list[int] = []
    at = index.high
    while (line := search(index, pattern, at, False, clean, go_on)) is not None:
        at = line
        back.insert(0, line - (-6))
    assert back == lines
    forth: list[int] = []
    at = index.low - 1
    while (line := search(index, pattern, at, True, clean, go_on)) is not None:
        at = line
        forth.append(line - index.low)
    assert index.complete
    assert forth == lines


def test_a_search_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logindex, "BLOCK", 8)
    index = index_of(tmp_path, b"some line\n" * 100)
    told: list[float] = []

    def three(fraction: float) -> bool:
        told.append(fraction)
        return len(told) < 3

    assert search(index, Pattern("absent"), index.high, False, clean, three) is None
    assert told == sorted(told)
    assert len(told) == 3
    assert not index.complete


@pytest.mark.parametrize(
    ("text", "regex", "reason"),
    [
        ("(", True, "not a regular expression"),
        ("", False, "nothing to look for"),
        ("x*", True, "matches every line"),
        ("(a+)+b", True, "for ever"),
        (r"(\w+ ?)*:", True, "for ever"),
        ("(a|a){2,}b", True, "for ever"),
        ("((a*)b)+", True, "for ever"),
    ],
)
def test_a_pattern_says_what_is_wrong_with_it(text: str, regex: bool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pattern(text, regex=regex)


@pytest.mark.parametrize("text", ["(foo|bar)", "[(+*|]+x", r"\(a+\)+", "(ab)+", "(a+){2}b", ")", "[]+]+", "a+b*c"])
def test_an_expression_that_is_safe_is_taken(text: str) -> None:
    try:
        assert Pattern(text, regex=True).text == text
    except ValueError as refused:
        assert "not a regular expression" in str(refused)


def test_an_expression_that_is_slow_on_long_lines_ends_soon(tmp_path: Path) -> None:
    index = index_of(tmp_path, b"x" * 1_000_000 + b"\n" + b"y" * 60_000 + b"\nz needle\n")
    assert search(index, Pattern(".*needle$", regex=True), index.high, False, clean, go_on) == -1


def test_spans_are_those_of_the_shown_text() -> None:
    assert Pattern("o").spans("foO") == [(1, 2), (2, 3)]
    assert Pattern("O").spans("foO") == [(2, 3)]
    assert Pattern("aba").spans("aba" * 100_000, 299_991) == [
        (299_991, 299_994),
        (299_994, 299_997),
        (299_997, 300_000),
    ]
    assert Pattern("aba").spans("xxabaxx", 3, 4) == [(2, 5)]
    assert Pattern("a.a", regex=True).spans("xxabaxxaca", 5) == [(7, 10)]


WORDS = st.lists(st.sampled_from(["warn", "info", "", "x\x1b[1mw\x1b[0marn", "a\rwarn", "warn\rb"]), max_size=40)


@settings(max_examples=100, deadline=None)
@given(words=WORDS, more=WORDS, block=st.integers(1, 40), steps=st.integers(0, 10), ended=st.booleans())
def test_a_filter_lists_the_lines_that_match(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], more: list[str], block: int, steps: int, ended: bool
) -> None:
    directory = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logindex, "BLOCK", block)
        index = index_of(directory, "".join(f"{word}\n" for word in words).encode())
        chosen = Filter(index, Pattern("warn"), clean)
        for _ in range(steps):
            chosen.step()
        with (directory / "log").open("ab") as file:
            file.write("\n".join(more).encode() + (b"\n" if ended and more else b""))
        index.grow(open_stream([Part(directory / "log", 0)], index.stream))
        while chosen.step():
            pass
        lines = [*words, *(more if ended else more[:-1])]
        # Of a file that was empty, or of one whose last line has no end, what is there already is looked at.
        found = [chosen.line(item) - index.low for item in range(chosen.low, chosen.high)]
        assert found == [n for n, word in enumerate(lines) if "warn" in clean(word)]
        assert chosen.complete
        assert chosen.fraction == 1.0
        for item in range(chosen.low, chosen.high):
            assert chosen.item(chosen.line(item)) == item
