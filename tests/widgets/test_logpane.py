"""The log pane on real files: opening, following, moving, long lines, rotation."""

from pathlib import Path

import pytest
from textual import events

from tests.widgets.logs import LOG, MARKS, Segments, bottom, clean, numbered, top
from tests.widgets.support import LARGE, SMALL, Stage, golden, lines_of, play, screen_of, until
from widgets.logfile import OneFile, Part
from widgets.logpane import LogPane, LogState
from widgets.logsearch import Pattern
from widgets.theme import ASCII


def scroll(kind: type[events.MouseEvent], pane: LogPane) -> events.MouseEvent:
    return kind(pane, 4, 4, 0, 0, 0, False, False, False)


@pytest.mark.parametrize(("size", "name"), [(SMALL, "log-80"), (LARGE, "log-120")])
def test_shows_a_log_with_marks_times_and_wrapping(tmp_path: Path, size: tuple[int, int], name: str) -> None:
    async def scene() -> None:
        (tmp_path / "log").write_text(LOG)
        pane = LogPane(Segments([Part(tmp_path / "log", 0)]), clean)
        app = Stage(pane)
        async with app.on_stage(size) as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.set_marks(MARKS)
            pane.show_times(True)
            await pilot.pause()
            one = screen_of(app)
            pane.wrap(True)
            await pilot.pause()
            golden(name, one + "\n" + screen_of(app))

    play(scene)


def test_opens_at_the_end_and_follows(tmp_path: Path) -> None:
    async def scene() -> None:
        path = numbered(tmp_path / "log", 5000)
        pane = LogPane(OneFile(path), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: bottom(app) == "line 4999")
            await until(pilot, lambda: pane.state == LogState(5000, True, number=5000))
            with path.open("a") as file:
                file.write("fresh\nand unfinis")
            await until(pilot, lambda: bottom(app) == "and unfinis")
            with path.open("a") as file:
                file.write("hed\n")
            await until(pilot, lambda: bottom(app) == "and unfinished")
            pane.focus()
            await pilot.press("k")
            assert not pane.state.following
            with path.open("a") as file:
                file.write("one\ntwo\nthree\n" * 500)
            await until(pilot, lambda: bottom(app).endswith("+1,500 lines"))
            assert pane.state.new == 1500
            await pilot.press("pagedown")
            assert pane.state.new == 1500 - 23
            await pilot.press("G")
            assert (bottom(app), pane.state.following, pane.state.new) == ("three", True, 0)
            assert app.said(LogPane.Changed)[-1].state == pane.state

    play(scene)


def test_keys_move_the_cursor_and_the_page(tmp_path: Path) -> None:
    async def scene() -> None:
        pane = LogPane(OneFile(numbered(tmp_path / "log", 1000)), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.focus()
            for keys, number, first in (
                (("k", "up"), 998, "line 976"),
                (("pageup",), 977, "line 953"),
                (("g",), 1, "line 0"),
                (("j", "down"), 3, "line 0"),
                (("space",), 24, "line 23"),
                (("home", "pageup"), 1, "line 0"),
            ):
                await pilot.press(*keys)
                assert (pane.state.number, top(app)) == (number, first), keys
            pane.go_to_number(500)
            await pilot.pause()
            assert any(line.startswith("▸line 499 ") or line == "▸line 499" for line in lines_of(app))
            pane.go_to_number(10_000)
            assert pane.state.number == 1000
            await pilot.press("home")
            await pilot.click(LogPane, offset=(4, 7))
            assert pane.state.number == 8
            await pilot.click(LogPane, offset=(79, 12))
            assert pane.state.number == 501
            pane.post_message(scroll(events.MouseScrollUp, pane))
            await until(pilot, lambda: top(app) == "line 497")
            pane.post_message(scroll(events.MouseScrollDown, pane))
            await until(pilot, lambda: top(app) == "line 500")

    play(scene)


def test_long_lines_shift_and_are_cut(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "log"
        path.write_text("".join(chr(97 + n // 8 % 26) for n in range(1_000_000)) + "\nnext\n")
        pane = LogPane(OneFile(path), clean, glyphs=ASCII)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.complete)
            pane.focus()
            assert lines_of(app)[0] == " " + "".join(chr(97 + n // 8) * 8 for n in range(0, 72, 8)) + "jjjjj~"
            await pilot.press("l", "right")
            assert lines_of(app)[0].startswith(" cccccccc")
            await pilot.press("h")
            assert lines_of(app)[0].startswith(" bbbbbbbb")
            await pilot.press("0")
            assert lines_of(app)[0].startswith(" aaaaaaaa")
            pane.wrap(True)
            await pilot.press("g", "pagedown", "pagedown")
            assert pane.state.wrapped
            assert len({line[:9] for line in lines_of(app)}) > 8
            await pilot.press("G")
            assert lines_of(app)[-2].rstrip(" |").endswith("~")
            assert bottom(app) == "next"

    play(scene)


def test_survives_rotation_and_says_what_is_missing(tmp_path: Path) -> None:
    async def scene() -> None:
        head, tail = numbered(tmp_path / "head.log", 3), numbered(tmp_path / "tail.log", 2000, 3)
        size, inode = head.stat().st_size, tail.stat().st_ino
        source = Segments([Part(head, 0), Part(tail, size, inode)])
        pane = LogPane(source, clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.lines == 2003)
            end = size + tail.stat().st_size
            tail.rename(tmp_path / "tail.1.log")
            numbered(tail, 100, 2003)
            source.now = [Part(head, 0), Part(tmp_path / "tail.1.log", size, inode), Part(tail, end)]
            await until(pilot, lambda: bottom(app) == "line 2102")
            assert pane.state.lines == 2103
            pane.focus()
            await pilot.press("k", "k")
            source.now = [Part(head, 0), Part(tail, end)]
            await until(pilot, lambda: pane.state.lines == 104)
            # The cursor is still on the line that it was on, which has another number now.
            assert any(line.startswith("▸line 2100") for line in lines_of(app))
            await pilot.press("g")
            assert lines_of(app)[3].strip(" ┃") == f"… {end - size:,} bytes are not kept …"
            pane.set_filter(Pattern("line 20"))
            await until(pilot, lambda: pane.state.matches == 97)
            pane.follow()
            numbered(tail, 1, 7)
            await until(pilot, lambda: pane.state.lines == 5)
            await until(pilot, lambda: pane.state.matches == 0)
            pane.set_filter(None)
            await pilot.pause()
            assert screen_of(app).endswith("line 7\n")

    play(scene)


def test_a_log_that_cannot_be_read_says_why_and_is_read_when_it_can(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "log"
        path.mkdir()
        (path / "inner").write_text("x")
        pane = LogPane(OneFile(path), clean)
        app = Stage(pane)
        async with app.on_stage() as pilot:
            await until(pilot, lambda: pane.state.problem == "Is a directory")
            (path / "inner").unlink()
            path.rmdir()
            await until(pilot, lambda: pane.state == LogState(0, True))
            path.write_text("at last\n")
            await until(pilot, lambda: bottom(app) == "" and top(app) == "at last")

    play(scene)


def test_does_not_look_while_it_cannot_be_seen(tmp_path: Path) -> None:
    async def scene() -> None:
        path = numbered(tmp_path / "log", 10)
        hidden, shown = Segments([Part(path, 0)]), Segments([Part(path, 0)])
        pane = LogPane(hidden, clean)
        app = Stage(pane, LogPane(shown, clean))
        async with app.on_stage() as pilot:
            await until(pilot, lambda: hidden.asked > 1)
            pane.display = False
            await pilot.pause()
            asked, other = hidden.asked, shown.asked
            await until(pilot, lambda: shown.asked > other + 2)
            assert hidden.asked <= asked + 1
            pane.display = True
            await until(pilot, lambda: hidden.asked > asked + 1)

    play(scene)
