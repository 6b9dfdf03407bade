"""Finding things in the log pane: search, filter, marks; and copying them."""

from pathlib import Path

from tests.widgets.logs import LOG, MARKS, bottom, clean, numbered, top
from tests.widgets.support import Stage, lines_of, play, until
from widgets.logfile import OneFile
from widgets.logpaint import Mark
from widgets.logpane import LogPane
from widgets.logsearch import Pattern


def test_search_goes_both_ways_and_ends(tmp_path: Path) -> None:
    async def scene() -> None:
        pane = LogPane(OneFile(numbered(tmp_path / "log", 30_000)), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.focus()

            async def outcome(number: int) -> str:
                await until(pilot, lambda: len(app.said(LogPane.Searched)) == number)
                return app.said(LogPane.Searched)[-1].outcome

            pane.search(Pattern("line 1234"), forward=False)
            assert await outcome(1) == "found"
            assert pane.state.number == 12350
            await pilot.pause()
            row = next(y for y, line in enumerate(lines_of(app)) if line.startswith("▸line 12349"))
            reverse = [segment.text for segment in pane.render_line(row) if segment.style and segment.style.reverse]
            assert reverse == ["line 1234"]
            pane.action_again(False)
            assert await outcome(2) == "found"
            assert pane.state.number == 12349
            pane.action_again(True)
            assert await outcome(3) == "found"
            assert pane.state.number == 12350
            pane.search(Pattern(r"^line 2999\d$", regex=True))
            assert await outcome(4) == "found"
            assert pane.state.number == 29_991
            pane.search(Pattern("absent"))
            assert await outcome(5) == "nothing"
            assert app.said(LogPane.Progress)[-1].fraction == 1.0
            pane.set_filter(Pattern("7"))
            pane.search(Pattern("line 29"), forward=False)
            assert await outcome(6) == "found"
            await until(pilot, lambda: pane.state.number == 29_988)
            pane.forget_search()
            await pilot.pause()
            assert not any(segment.style and segment.style.reverse for segment in pane.render_line(row))

    play(scene)


def test_escape_cancels_what_is_going_on(tmp_path: Path) -> None:
    async def scene() -> None:
        pane = LogPane(OneFile(numbered(tmp_path / "log", 400_000)), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.lines > 0)
            pane.focus()
            pane.search(Pattern(r"[line \d]+absent", regex=True), forward=False)
            await pilot.press("escape")
            await until(pilot, lambda: app.said(LogPane.Searched))
            assert app.said(LogPane.Searched)[0].outcome == "cancelled"
            await pilot.press("v", "k", "k")
            assert pane.state.chosen == 3
            await pilot.press("escape")
            assert pane.state.chosen == 0

    play(scene)


def test_a_filter_shows_matches_and_gives_the_place_back(tmp_path: Path) -> None:
    async def scene() -> None:
        path = numbered(tmp_path / "log", 20_000)
        pane = LogPane(OneFile(path), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.set_filter(Pattern("77"))
            await until(pilot, lambda: app.said(LogPane.Progress)[-1:] == [LogPane.Progress(pane, "filter", 1.0)])
            assert pane.state.matches == sum("77" in str(n) for n in range(20_000))
            assert bottom(app) == "line 19977"
            with path.open("a") as file:
                file.write("new 77\nnew 78\n")
            await until(pilot, lambda: bottom(app) == "new 77")
            pane.focus()
            await pilot.press("g")
            assert (top(app), pane.state.number) == ("line 77", 78)
            await pilot.press("j", "j")
            pane.set_filter(None)
            await pilot.pause()
            after = pane.state
            assert (after.number, after.matches) == (278, None)
            assert any(line.startswith("▸line 277") for line in lines_of(app))

    play(scene)


def test_selected_lines_are_copied_as_shown(tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / "log").write_text(LOG + "last\n")
        pane = LogPane(OneFile(tmp_path / "log"), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.focus()
            await pilot.press("g", "v", "j", "y")
            await until(pilot, lambda: app.said(LogPane.Copy))
            await pilot.press("G", "y")
            await until(pilot, lambda: len(app.said(LogPane.Copy)) == 2)
            first, second = app.said(LogPane.Copy)
            assert first.text.splitlines()[1] == "INFO  Model loading took 15.27 GiB and 8.1 s"
            assert (first.lines, first.asked, second.text) == (2, 2, "last")
            assert pane.state.chosen == 0

    play(scene)


def test_marks_are_gone_to_in_order(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "log"
        path.write_text("filler\n" * 300 + LOG + "filler\n" * 300)
        pane = LogPane(OneFile(path), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.set_marks([Mark(mark.offset + 7 * 300, mark.style, mark.label, mark.glyph) for mark in MARKS])
            pane.focus()
            numbers = []
            for forward in (False, False, False, False, True):
                pane.action_mark(forward)
                numbers.append(pane.state.number)
            assert numbers == [305, 304, 303, 303, 304]
            await pilot.pause()
            assert any(
                line.startswith("✖ERROR torch") and line.rstrip(" ┃").endswith("… OOM_KILLED") for line in lines_of(app)
            )

    play(scene)
