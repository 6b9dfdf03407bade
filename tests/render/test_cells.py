"""Lines and tables: aligned whatever the script, and harmless whatever the text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.domain.text import cell_width
from app.render.cells import Cell, ansi, line, plain, table
from app.render.states import to_ascii

OUR_COLOURS = re.compile("\x1b\\[(?:0|1|2|31|32|33|36)m")


def test_columns_are_aligned_in_terminal_cells() -> None:
    lines = table(("NAME", "READY", "MODEL"), [("demo", "1/1", "x"), ("日本", "10/12", "long name")], right=("READY",))
    assert [plain(part) for part in lines] == [
        "NAME  READY  MODEL",
        "demo    1/1  x",
        "日本  10/12  long name",
    ]


def test_an_empty_table_is_its_headers() -> None:
    assert [plain(part) for part in table(("A", "B"), [])] == ["A  B"]


def test_colour_stands_around_the_text_and_never_alone() -> None:
    assert ansi(line(Cell("● DEPLOYED", "good"), "  1/1")) == "\x1b[32m● DEPLOYED\x1b[0m  1/1"
    assert ansi(line(Cell("", "bad"), Cell("  ", "dim"))) == ""


@given(st.text(st.characters(codec=None)), st.sampled_from(["plain", "good", "dim"]))
def test_no_text_gets_a_control_character_through(text: str, tone: str) -> None:
    shown = ansi(line(Cell(text, tone), text))  # type: ignore[arg-type]  # one of the tones, as drawn
    bare = OUR_COLOURS.sub("", shown)
    assert all(char.isprintable() or char in "\u3000" or not ord(char) < 0xA0 for char in bare)
    assert "\n" not in bare
    shown.encode("utf-8")


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_every_row_of_a_table_starts_its_columns_at_the_same_cell(rows: list[tuple[str, str]]) -> None:
    lines = table(("FIRST", "|"), [(first, "|" + second) for first, second in rows])
    starts = {cell_width("".join(cell.text for cell in parts[:-1])) for parts in lines}
    assert len(starts) == 1


def test_our_signs_have_a_plain_form() -> None:
    assert to_ascii("● ◐ ◔ ○ ✖ ? → · …") == "* ~ . o x ? > - ~"
