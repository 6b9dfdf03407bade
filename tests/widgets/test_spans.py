"""Lines of spans and columns: cutting, spreading, giving way."""

from widgets.columns import Column, lay_out
from widgets.spans import Span, cut, cut_line, fit, join, plain, spread, width_of


def test_text_is_cut_by_terminal_columns() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 4) == "abc…"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日 …"
    assert cut("abc", 0) == ""
    assert fit("7", 4, right=True) == "   7"
    assert fit("日本", 5) == "日本 "


def test_a_line_is_cut_in_the_span_that_does_not_fit() -> None:
    line: list[Span] = [("abc", "plain"), ("def", "red"), ("ghi", "plain")]
    assert cut_line(line, 5) == [("abc", "plain"), ("d…", "red")]
    assert cut_line(line, 9) == line
    assert cut_line(line, 3) == [("abc", "plain")]
    assert plain(join([line, line], ("  ", "plain"))) == "abcdefghi  abcdefghi"


def test_both_ends_of_a_line_share_its_width() -> None:
    left: list[Span] = [("left part", "plain")]
    right: list[Span] = [("right", "dim")]
    assert plain(spread(left, right, 20)) == "left part      right"
    assert plain(spread(left, right, 12)) == "left p…right"
    for width in range(30):
        assert width_of(spread(left, right, width)) == width


def test_the_column_of_lowest_priority_gives_way_first() -> None:
    columns = (
        Column("a", "A", 10, priority=3),
        Column("b", "B", priority=2, minimum=10),
        Column("c", "C", 10, priority=1),
        Column("d", "D", 10, priority=1),
    )
    for width, expected in ((50, "abcd"), (46, "abcd"), (45, "abc"), (33, "ab"), (21, "a"), (4, "a")):
        placed = lay_out(columns, width)
        assert "".join(each.column.key for each in placed) == expected, width
        assert placed[-1].x + placed[-1].width <= width
    assert lay_out(columns, 50)[1].width == 14
    assert lay_out((), 50) == ()


def test_flexible_columns_share_what_is_left_up_to_their_limit() -> None:
    columns = (Column("a", "A"), Column("b", "B", maximum=12), Column("c", "C", 6))
    assert [each.width for each in lay_out(columns, 60)] == [38, 12, 6]
    assert [each.x for each in lay_out(columns, 60)] == [0, 40, 54]
