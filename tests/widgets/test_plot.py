"""Pictures of numbers and the timeline, as text."""

import pytest

from widgets.plot import Axis, beside, legend, meter, percent_bar, plot, resample, sparkline, stacked
from widgets.spans import plain, width_of
from widgets.theme import ASCII, UNICODE, Glyphs
from widgets.timeline import Phase, Point, timeline, timeline_line

BOTH = pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
RISING = [float(n) for n in range(1, 9)]


def test_a_sparkline_ends_with_the_newest_value() -> None:
    assert sparkline(RISING, 8) == "▂▃▄▅▆▇██"
    assert sparkline(RISING, 10, glyphs=ASCII) == "  .-=+*%##"
    assert sparkline([0, None, 50, 100, 200], 6, top=100) == " ▁ ▅██"
    assert sparkline([], 4) == "    "


def test_many_values_keep_their_peaks() -> None:
    series = [1.0] * 1000
    series[500] = 9.0
    assert max(value or 0 for value in resample(series, 10)) == 9.0
    assert resample([None, None, 3.0, None], 2) == [None, 3.0]
    assert resample([1.0], 5) == [1.0]


def test_a_bar_shows_half_columns_and_its_percentage() -> None:
    assert plain(percent_bar(0.62, 25)) == "━━━━━━━━━━━━╸━━━━━━━  62%"
    assert meter(0.5, 4) == [("━━", "plain"), ("━━", "faint")]
    assert plain(percent_bar(0.62, 25, glyphs=ASCII)) == "############-.......  62%"
    assert plain(percent_bar(None, 12)) == "━━━━━━━    –"
    assert plain(percent_bar(7.0, 9)) == "━━━━ 100%"


def test_a_stacked_bar_shows_every_part_and_never_more_than_the_whole() -> None:
    bar = stacked([(15.3, "green"), (4.5, "cyan"), (0.1, "yellow"), (0.7, "red")], 24.0, 27)
    assert plain(bar) == "█████████████████░░░░░▒▓   "
    assert plain(stacked([(20, "green"), (20, "cyan")], 24.0, 12)) == "██████████░░"
    assert plain(stacked([(0, "green"), (0, "cyan")], 0, 5)) == "     "
    assert plain(legend([("weights 15.3", "green"), ("KV 4.5", "cyan")], ASCII)) == "# weights 15.3 - = KV 4.5"


def test_a_note_stands_at_the_right_where_there_is_room() -> None:
    axis = Axis("TTFT", note="last hour")
    assert [plain(plot([1.0], width, 3, axis)[0]) for width in (24, 12)] == ["TTFT 1         last hour", "TTFT 1"]


def test_a_plot_has_a_scale_and_times() -> None:
    lines = plot([None, None, *RISING, 8.0, 6.5], 24, 6, Axis("req/s", start="-1 h"))
    assert "\n".join(plain(line) for line in lines) == (
        "req/s 6.5\n"
        "10 │                 ▁▁ \n"
        "   │               ▃▆██▄\n"
        "   │            ▁▄██████\n"
        " 0 │          ▃▆████████\n"
        "   └-1 h             now"
    )
    assert plain(plot([], 20, 4, Axis("TTFT", "{:.0f} ms".format))[0]) == "TTFT –"


@BOTH
@pytest.mark.parametrize("width", [1, 4, 9, 20, 61, 200])
@pytest.mark.parametrize("height", [3, 4, 9])
def test_a_plot_keeps_to_its_room(width: int, height: int, glyphs: Glyphs) -> None:
    lines = plot([0.0, 3.7, None, 1e6], width, height, Axis("x", start="-60 min"), glyphs=glyphs)
    assert len(lines) == height
    # Labels are never cut into: below the width that they need, the plot is one column wide.
    assert all(width_of(line) <= max(width, 9) for line in lines[1:])


PHASES = [
    Phase("preflight", "done", 0.4, "0.4 s"),
    Phase("pull", "done", 12.0, "12 s"),
    Phase("load", "failed", 48.0, "48 s", "OOM_KILLED"),
    Phase("ready", "waiting"),
]


def test_a_timeline_draws_each_phase_where_the_last_one_ended() -> None:
    assert "\n".join(plain(line).rstrip() for line in timeline(PHASES, 60)) == (
        " ● preflight  0.4 s  ━\n"
        " ● pull        12 s  ━━━━━━\n"
        " ✖ load        48 s       ━━━━━━━━━━━━━━━━━━━━━━  OOM_KILLED\n"
        " ○ ready"
    )
    assert plain(timeline_line(PHASES)) == "preflight 0.4 s ▸ pull 12 s ▸ load 48 s ✖"
    assert plain(timeline_line([*PHASES[:2], Phase("load", "now", 3, "3 s")], ASCII)).endswith("> load 3 s ~")
    assert timeline([], 60) == []


@BOTH
@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_a_timeline_keeps_to_its_width(width: int, glyphs: Glyphs) -> None:
    assert all(width_of(line) <= max(width, 44) for line in timeline(PHASES, width, glyphs))


def test_blocks_stand_beside_each_other() -> None:
    lines = beside([[("a", "plain")]], [[("b", "plain")], [("c", "dim")]], 4, 1)
    assert [plain(line) for line in lines] == ["a    b", "     c"]


def test_points_stand_on_the_axis_of_the_bars() -> None:
    phases = [Phase("pull", "done", 5.0, "5 s"), Phase("load", "now", 5.0, "5 s")]
    points = [Point(0.0, "a", "dim"), Point(5.0, "b", "bad"), Point(99.0, "c", "good")]
    *bars, axis = ["".join(text for text, _ in line) for line in timeline(phases, 40, points=points)]
    assert len(axis) == 40
    assert axis.index("a") == bars[0].index(UNICODE.bar)
    assert axis.index("b") == bars[1].index(UNICODE.bar)
    assert axis.index("c") == 39, "what came later stands at the end"
    assert len(timeline(phases, 40)) == 2
