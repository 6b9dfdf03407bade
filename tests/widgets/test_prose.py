"""Running text: wrapped by words, whatever it is made of, and followed as it grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from tests.widgets.support import SMALL, Stage, lines_of, play, until
from widgets.prose import Flow, Prose
from widgets.spans import fold, plain

TEXT = st.text(
    st.sampled_from("ab  \n漢e\u0301\u200d-.") | st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=200
)


def flow(width: int, *texts: str) -> list[str]:
    found = Flow(width)
    for text in texts:
        found.add(text)
    return found.lines


def test_words_are_kept_whole() -> None:
    assert flow(10, "the quick brown fox") == ["the quick", "brown fox"]


def test_a_word_that_fits_no_line_fills_them() -> None:
    assert flow(5, "a bcdefghij k") == ["a bcd", "efghi", "j k"]


def test_line_breaks_and_indents_stay() -> None:
    assert flow(20, "def f():\n    return 1\n\nend") == ["def f():", "    return 1", "", "end"]


def test_wide_characters_take_two_columns() -> None:
    assert flow(5, "漢漢漢漢") == ["漢漢", "漢漢"]


@given(TEXT, st.integers(2, 30))
def test_nothing_is_lost_and_nothing_too_wide(text: str, width: int) -> None:
    lines = flow(width, text)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert len(lines) >= text.count("\n") + 1


@given(st.lists(TEXT, max_size=6), st.integers(2, 30))
def test_it_grows_only_at_its_end(pieces: list[str], width: int) -> None:
    grown = Flow(width)
    for piece in pieces:
        before = grown.lines
        grown.add(piece)
        assert grown.lines[: len(before) - 1] == before[:-1]
    assert all(cell_len(line) <= width for line in grown.lines)
    assert "".join("".join(grown.lines).split()) == "".join("".join(pieces).split())


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "\u0301" * 1_000_000, "漢" * 300_000, " " * 1_000_000, "a " * 400_000]
)
def test_a_flood_without_line_breaks_is_cut_into_short_lines(text: str) -> None:
    assert max(map(len, flow(40, text))) <= 160


@given(st.lists(st.tuples(TEXT.map(lambda t: t.replace("\n", " ")), st.just("plain")), max_size=4), st.integers(2, 40))
def test_folded_lines_lose_nothing_either(line: list[tuple[str, str]], width: int) -> None:
    lines = fold(line, width, indent=3)  # type: ignore[arg-type] # the style is one of them
    assert all(cell_len(plain(each)) <= width for each in lines)
    assert "".join("".join(map(plain, lines)).split()) == "".join("".join(text for text, _ in line).split())


async def showing(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: any(text in line for line in lines_of(pilot.app)))


def test_the_end_is_followed_until_somebody_scrolls_away() -> None:
    async def scene() -> None:
        prose = Prose()
        stage = Stage(prose)
        async with stage.on_stage(SMALL) as pilot:
            prose.focus()
            prose.set_blocks([("▸ question", "accent"), ("", "plain")])
            for n in range(100):
                prose.add(f"line {n}\n")
            await showing(pilot, "line 99")
            assert prose.following
            await pilot.press("k", "k")
            await until(pilot, lambda: not prose.following)
            prose.add("more\n" * 50)
            await showing(pilot, "line 90")
            await pilot.press("G")
            prose.add("the end")
            await showing(pilot, "the end")
            await pilot.press("g")
            await showing(pilot, "question")

    play(scene)


def test_the_end_stays_in_view_when_the_size_changes() -> None:
    async def scene() -> None:
        prose = Prose()
        stage = Stage(prose)
        async with stage.on_stage(SMALL) as pilot:
            prose.set_blocks([("word " * 2000 + "last", "plain")])
            await showing(pilot, "last")
            await pilot.resize_terminal(40, 10)
            await showing(pilot, "last")
            await pilot.resize_terminal(100, 40)
            await showing(pilot, "last")
            assert prose.following

    play(scene)


def test_what_is_added_continues_the_last_block() -> None:
    async def scene() -> None:
        prose = Prose()
        stage = Stage(prose)
        async with stage.on_stage(SMALL) as pilot:
            prose.add("nowhere to go")
            prose.set_blocks([("first", "plain"), ("sec", "dim")])
            prose.add("ond")
            await showing(pilot, "second")
            assert [line.strip() for line in lines_of(stage)[:3]] == ["first", "second", ""]
            prose.set_blocks([])
            await until(pilot, lambda: not any(lines_of(stage)))

    play(scene)
