"""What a window on a list shows and where it goes, without a screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.logview import columns, window, wrap
from widgets.logwindow import Window


class Numbers:
    """A list of items whose heights are their own."""

    def __init__(self, heights: list[int], low: int = 0) -> None:
        self.heights = heights
        self.low = low

    @property
    def high(self) -> int:
        return self.low + len(self.heights)

    def line(self, item: int) -> int:
        return item

    def item(self, line: int) -> int:
        return max(self.low, min(self.high - 1, line))

    def height(self, item: int) -> int:
        return self.heights[item - self.low]


def on(numbers: Numbers, rows: int) -> Window:
    shown = Window(numbers, numbers.height)
    shown.rows = rows
    shown.settle()
    return shown


HEIGHTS = st.lists(st.integers(1, 6), max_size=30)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["go", "scroll", "turn", "look_at", "jump", "grow", "back", "follow"]), st.integers(-12, 12)
    ),
    max_size=20,
)


@given(heights=HEIGHTS, rows=st.integers(1, 12), low=st.integers(-20, 0), moves=MOVES)
def test_whatever_is_done_the_window_is_full_and_holds_its_cursor(
    heights: list[int], rows: int, low: int, moves: list[tuple[str, int]]
) -> None:
    numbers = Numbers(heights, low)
    shown = on(numbers, rows)
    for move, by in moves:
        match move:
            case "go":
                shown.go(shown.cursor + by)
            case "jump":
                shown.jump(abs(by) % rows)
            case "grow":
                numbers.heights = [*numbers.heights, *[1 + abs(by) % 3] * abs(by)]
                shown.settle()
            case "back":
                numbers.heights = [*[1 + abs(by) % 3] * abs(by), *numbers.heights]
                numbers.low -= abs(by)
                shown.settle()
            case "follow":
                shown.following = by > 0
                shown.settle()
            case _:
                getattr(shown, move)(by)
        places = shown.page()
        total = sum(numbers.heights)
        assert len(places) == min(rows, total)
        rows_of = [(item, row) for item in range(numbers.low, numbers.high) for row in range(numbers.height(item))]
        begin = rows_of.index(places[0]) if places else 0
        assert places == rows_of[begin : begin + rows]
        if places and move in ("go", "scroll", "turn", "look_at"):
            assert any(item == shown.cursor for item, _ in places)
        if shown.following and places:
            assert places[-1] == rows_of[-1]
        thumb = shown.thumb()
        assert len(numbers.heights) <= rows or (len(thumb) >= 1 and thumb.start >= 0 and thumb.stop <= rows)


def test_the_view_stays_while_lines_come_at_both_ends() -> None:
    numbers = Numbers([1] * 50)
    shown = on(numbers, 10)
    shown.go(20)
    before = shown.page()
    numbers.heights, numbers.low = [1] * 500, -300
    shown.settle()
    assert shown.page() == before
    assert shown.cursor == 20


def test_another_list_keeps_the_line_even_when_it_comes_late() -> None:
    every = Numbers([1] * 100)
    shown = on(every, 10)
    shown.go(40)
    late = Numbers([])
    shown.use(late)
    assert shown.line is None
    late.heights, late.low = [1] * 10, 60
    shown.settle()
    assert shown.cursor == 60
    late.heights, late.low = [1] * 60, 10
    shown.settle()
    assert shown.cursor == 40
    shown.go(41)
    shown.use(every)
    assert (shown.cursor, shown.following) == (41, False)


def test_ten_million_items_cost_nothing() -> None:
    asked: list[int] = []

    def height(item: int) -> int:
        asked.append(item)
        return 1

    class Many:
        low, high = -10_000_000, 0

        def line(self, item: int) -> int:
            return item

        def item(self, line: int) -> int:
            return line

    shown = Window(Many(), height)
    shown.rows = 40
    shown.settle()
    for item in (-10_000_000, -1, -5_000_000):
        shown.look_at(item)
        shown.page()
    assert len(asked) < 2_000


@pytest.mark.parametrize(
    ("text", "width", "pieces"),
    [("", 5, [""]), ("abcdefg", 3, ["abc", "def", "g"]), ("日本語", 4, ["日本", "語"]), ("日本", 1, ["日", "本"])],
)
def test_wrapping_cuts_by_columns(text: str, width: int, pieces: list[str]) -> None:
    assert wrap(text, width) == pieces


@given(text=st.text(max_size=60), width=st.integers(2, 20), left=st.integers(0, 40))
def test_nothing_is_lost_and_nothing_is_too_wide(text: str, width: int, left: int) -> None:
    pieces = wrap(text, width)
    assert "".join(pieces) == text
    assert all(columns(piece) <= width for piece in pieces)
    seen, at = window(text, left, width)
    assert columns(seen) <= width
    assert text[at : at + len(seen)] == seen
