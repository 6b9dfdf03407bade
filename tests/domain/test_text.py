"""Nothing from outside reaches a row or a terminal as it came."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.text import CLEAN_LIMIT, cell_width, clean_text, safe, safe_block

ESC = "\x1b"
FRAGMENTS = (
    ESC, f"{ESC}[", f"{ESC}]", f"{ESC}P", f"{ESC}\\", "\x07", "\x9b", "\x9d", "\x9c", "\x90", "31m", "0;", "A", "m",
    "\x00", "\n", "\r", "\r\n", "\t", "\u202e", "\u2066", "\udc80", "\ud83d", "é", "漢", "💥", "[/]", " ",
)  # fmt: skip
texts = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=60),
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join),
)
FORBIDDEN = (
    {chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))}
    | {chr(c) for c in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF)}
    | {chr(c) for c in range(0xD800, 0xE000)}
)


@given(texts, st.integers(1, 40))
def test_nothing_that_moves_colours_links_or_reorders_gets_through(text: str, limit: int) -> None:
    for shown in (safe(text), safe(text, limit)):
        assert set(shown) & FORBIDDEN == set()
    assert len(safe(text, limit)) <= limit
    assert set(safe_block(text)) & FORBIDDEN <= {"\n"}


@given(texts, st.integers(1, 40))
def test_what_is_safe_stays_as_it_is(text: str, limit: int) -> None:
    assert safe(safe(text)) == safe(text)
    assert safe(safe(text, limit), limit) == safe(text, limit)
    assert safe_block(safe_block(text)) == safe_block(text)


@given(texts, st.integers(1, 40))
def test_what_is_clean_can_be_stored_and_stays_as_it_is(text: str, limit: int) -> None:
    clean = clean_text(text, limit)
    assert len(clean) <= limit
    assert clean_text(clean, limit) == clean
    assert set(clean) & {"\x00", ESC, "\x9b", "\x9d", "\x90"} == set()
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?", (clean,)).fetchone() == (clean,)


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=60))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean_text(text) == text
    assert safe(text) == text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        (f"{ESC}[31mred{ESC}[0m", "red"),
        (f"{ESC}]0;title\x07x", "x"),
        (f"{ESC}]52;c;aGVsbG8={ESC}\\x", "x"),
        (f"{ESC}]8;;file:///etc/passwd{ESC}\\link{ESC}]8;;{ESC}\\", "link"),
        (f"{ESC}]1337;File=inline=1:AAAA\x07x", "x"),
        (f"{ESC}Ptmux;{ESC}{ESC}]52;c;eA==\x07{ESC}\\x", "tmux;�x"),
        (f"{ESC}[2Jx", "x"),
        (f"{ESC}cx{ESC}Mx", "xx"),
        (f"{ESC}(0x", "x"),
        ("\x9b31mred\x9d0;t\x9cx", "redx"),
        (f"{ESC}]no end", ""),
        (f"{ESC}[200~paste{ESC}[201~", "paste"),
        (f"{ESC}[2147483647b", ""),
        (f"{ESC}{ESC}[31m[31m", "�[31m"),
        ("50%\r100%", "50% 100%"),
        ("a\x08b\x7fc\x0ed", "a�b�c�d"),
        ("a\nb\r\nc\td", "a b c d"),
        ("user\u202etxt.exe", "user�txt.exe"),
        ("[@click=app.quit]x[/]", "[@click=app.quit]x[/]"),
        ("\x00\ud800", "��"),
    ],
)
def test_known_tricks(hostile: str, shown: str) -> None:
    assert safe(hostile) == shown


def test_lines_are_kept_where_lines_are_shown() -> None:
    assert safe_block(f"one{ESC}[2J\ntwo\tx\n") == "one\ntwo x\n"


@pytest.mark.parametrize("opening", ["\x9d", "\x9b", f"{ESC}]", f"{ESC}[", ESC, f"{ESC}[0", f"{ESC}P{'x' * 4000}"])
def test_a_megabyte_of_openings_is_no_work(opening: str) -> None:
    """Quadratic work would run into the time limit of the test run: hours, not a moment."""
    text = opening * (2_000_000 // len(opening))
    assert len(clean_text(text)) <= CLEAN_LIMIT
    assert len(safe(text)) <= 4_096
    assert set(safe_block(text)) & FORBIDDEN == set()


def test_what_is_cut_says_so() -> None:
    assert safe("x" * 11, 10) == "x" * 9 + "…"
    assert clean_text("x" * 11, 10) == "x" * 9 + "…"
    assert safe("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("漢字", 4), ("e\u0301", 1), ("\uff21", 2)])
def test_width_on_a_terminal(text: str, columns: int) -> None:
    assert cell_width(text) == columns
