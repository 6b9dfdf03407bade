"""The log screen: whose log it shows, that it goes on into new attempts, search, filter, copying, hostile output."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from app.console import Console, Options
from app.domain.findings import Finding
from tests.screens.homes import set_instance
from tests.screens.support import HOSTILE, HOUR, MINUTE, Scribe, looks, times
from tests.widgets.support import LARGE, SMALL, lines_of, play, screen_of, until
from widgets.logpane import LogPane

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
LINES = b"".join(b"main: step %d is done\n" % n for n in range(1, 3001))

Scene = Callable[[Console, Pilot[Any]], Awaitable[None]]


class Engine:
    """A deployment `chat` with one instance, its attempts, and what they wrote."""

    def __init__(self, scribe: Scribe, *letters: str) -> None:
        self.scribe = scribe
        self.deployment = scribe.deployment("chat", replicas=len(letters))
        self.instances = {letter: scribe.instance(self.deployment, letter) for letter in letters}
        self.attempts: dict[tuple[str, int], str] = {}

    def attempt(self, number: int, output: bytes | None, letter: str = "a", **columns: Any) -> Path:
        """The next attempt of an instance; its directory. Without output there is none."""
        attempt = self.scribe.attempt(self.instances[letter], number, **columns)
        self.attempts[letter, number] = attempt
        return self.scribe.home.attempts / attempt if output is None else self.scribe.log(attempt, output)


def on_logs(scribe: Scribe, scene: Scene, size: tuple[int, int] = SMALL, first: str = "", **options: bool) -> None:
    """Play a scene on the log screen of what is selected, from when it shows `first`."""

    async def whole() -> None:
        app = Console(scribe.home, Options(**options))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.selected is not None)
            await pilot.press("3")
            await until(pilot, lambda: first in screen_of(app))
            await scene(app, pilot)

    play(whole)


def clock(at: int, how: str = "%H:%M:%S") -> str:
    return time.strftime(how, time.localtime(at // 1_000_000))


def shows(app: Console, *texts: str) -> Callable[[], bool]:
    return lambda: all(text in screen_of(app) for text in texts)


def lacks(app: Console, text: str) -> Callable[[], bool]:
    return lambda: text not in screen_of(app)


@pytest.mark.parametrize("size", SIZES)
def test_it_opens_at_the_end_with_all_there_is_to_know_above(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        engine.attempt(1, b"the first one\n", ended_at=scribe.now - HOUR)
        engine.attempt(2, LINES)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await until(pilot, shows(app, "step 3000 is done", "3,000 lines"))
            assert all(len(line) <= size[0] for line in lines_of(app))
            await looks(pilot, f"logs-{size[0]}")

        on_logs(scribe, scene, size)


def test_it_follows_what_is_written_until_one_goes_up_and_again_with_g(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        log = Engine(scribe, "a").attempt(1, LINES) / "head.log"

        def write(text: str) -> None:
            with log.open("a") as file:
                file.write(text)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            write("news one\n")
            await until(pilot, shows(app, "news one", "● following"))
            await pilot.press("k")
            await until(pilot, shows(app, "◔ paused"))
            write("news two\n")
            await until(pilot, shows(app, "+1 lines"))
            assert "news two" not in screen_of(app)
            await pilot.press("G")
            await until(pilot, shows(app, "news two", "● following"))
            await pilot.press("f")
            await until(pilot, shows(app, "◔ paused"))

        on_logs(scribe, scene, first="step 3000")


def test_search_goes_up_from_the_end_and_n_and_N_go_on(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        Engine(scribe, "a").attempt(1, LINES)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("n")
            await until(pilot, shows(app, "No finding below; / begins a search."))
            await pilot.press("slash", *"step 2000", "enter")
            await until(pilot, shows(app, "▸main: step 2000 is done"))
            await pilot.press("slash", *"~step 1[05]00 ", "enter")
            await until(pilot, shows(app, "Nothing more below; N looks above."))
            await pilot.press("N")
            await until(pilot, shows(app, "▸main: step 1500"))
            await pilot.press("N")
            await until(pilot, shows(app, "▸main: step 1000"))
            await pilot.press("n")
            await until(pilot, shows(app, "▸main: step 1500"))
            await pilot.press("slash", *"~step (", "enter")
            await until(pilot, shows(app, "Not a regular expression"))
            await pilot.press("colon", *"line 42", "enter")
            await until(pilot, shows(app, "▸main: step 42 is done"))
            await pilot.press("colon", *"line here", "enter")
            await until(pilot, shows(app, "Which line?"))

        on_logs(scribe, scene, first="step 3000")


def test_e_finds_the_error_above_were_it_the_very_last_line(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        Engine(scribe, "a").attempt(1, b"RuntimeError: early\n" + LINES + b"ggml: failed to allocate\n")

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("e")
            await until(pilot, shows(app, "▸ggml: failed to allocate"))
            await pilot.press("e")
            await until(pilot, shows(app, "▸RuntimeError: early"))
            await pilot.press("E")
            await until(pilot, shows(app, "▸ggml: failed to allocate"))

        on_logs(scribe, scene, first="failed to allocate")


def test_findings_are_marked_counted_and_stepped_through(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        engine.attempt(1, LINES)
        attempt = engine.attempts["a", 1]
        at = LINES.index(b"main: step 1500 ")
        failure = Finding("disk-full", "DISK_FULL", "failure", 1_500, "no space", {}, at)
        milestone = Finding("ready", "ready", "milestone", 2_000, "ready", {}, at + 100)
        scribe.findings(attempt, failure, milestone)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await until(pilot, shows(app, "1 finding"))
            await pilot.press("n")
            await until(pilot, shows(app, "No finding below"))
            await pilot.press("N")
            await until(pilot, shows(app, "✖main: step 1500 is done", "DISK_FULL"))

        on_logs(scribe, scene, LARGE, first="step 3000")


def test_a_filter_shows_what_matches_goes_along_and_goes_with_escape(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a", "b")
        engine.attempt(1, LINES)
        engine.attempt(1, b"other: step 2999 too\nother: nothing\n", "b")

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("ampersand", *"2999", "enter")
            await until(pilot, shows(app, "step 2999 is done", "filter: 2999 (1)"))
            assert "step 3000" not in screen_of(app)
            await pilot.press("i")
            await until(pilot, shows(app, "chat-b", "other: step 2999 too", "filter: 2999 (1)"))
            assert "other: nothing" not in screen_of(app)
            await pilot.press("escape")
            await until(pilot, shows(app, "other: nothing", "filter: –"))
            await pilot.press("i")
            await until(pilot, shows(app, "chat-a", "step 3000"))
            await pilot.press("escape")
            await until(pilot, shows(app, "STATUS"))

        on_logs(scribe, scene, first="step 3000")


def test_attempts_are_gone_through_and_the_newest_is_followed_into(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        engine.attempt(1, b"said by one\n", ended_at=scribe.now - HOUR, exit_code=3)
        engine.attempt(2, b"said by two\n")

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("left_square_bracket")
            await until(pilot, shows(app, "said by one", "attempt 1 of 2", "○ ended 1h ago, exit 3"))
            await pilot.press("left_square_bracket")
            await until(pilot, shows(app, "There is no older attempt."))
            await pilot.press("right_square_bracket")
            await until(pilot, shows(app, "said by two", "attempt 2 of 2"))
            scribe.end(engine.attempts["a", 2])
            engine.attempt(3, b"said by three\n")
            await until(pilot, shows(app, "said by three", "Attempt 3 has begun; [ shows the one before."))
            await pilot.press("f")
            await until(pilot, shows(app, "◔ paused"))
            scribe.end(engine.attempts["a", 3])
            engine.attempt(4, b"said by four\n")
            await until(pilot, shows(app, "Attempt 4 has begun; ] shows it."))
            assert "said by three" in screen_of(app), "nobody is taken away from what he reads"
            await pilot.press("right_square_bracket")
            await until(pilot, shows(app, "said by four", "attempt 4 of 4"))

        on_logs(scribe, scene, first="said by two")


def test_where_there_is_no_log_it_says_why(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await pilot.press("3")
                await until(pilot, shows(app, "Nothing is launched yet. :logs @server"))
                await pilot.press("colon", *"logs ghost", "enter")
                await until(pilot, shows(app, "There is no deployment ghost."))
                deployment = scribe.deployment("chat")
                await pilot.press("colon", *"logs chat", "enter")
                await until(pilot, shows(app, "chat has no instance yet: it is REQUESTED."))
                instance = scribe.instance(deployment, state="non_bootstrap", phase="registering")
                await until(pilot, shows(app, "chat-a has not been started yet."))
                set_instance(scribe.home, instance, state="pending", phase="allocating")
                attempt = scribe.attempt(instance)
                await until(pilot, shows(app, "Waiting for attempt 1 of chat-a"))
                scribe.log(attempt, b"at last\n")
                await until(pilot, shows(app, "at last", "● following"))

        play(scene)


def test_a_log_that_was_dropped_is_said_to_be_gone_and_a_gap_is_shown(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        engine.attempt(1, None, ended_at=scribe.now - HOUR)
        engine.attempt(2, b"")
        scribe.log(engine.attempts["a", 2], b"begin\n", (1006, b"end\n"))

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            assert "1,000 bytes are not kept" in screen_of(app)
            await pilot.press("left_square_bracket")
            await until(pilot, shows(app, "The log of attempt 1 of chat-a is not kept any more"))

        on_logs(scribe, scene, first="end")


def test_our_own_processes_have_logs_too(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        Engine(scribe, "a").attempt(1, LINES)
        scribe.home.server_log.write_text("2026-01-01 server begins\n")

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("colon", *"logs @s", "tab", "enter")
            await until(pilot, shows(app, "@server", "server begins", "1 line "))
            await pilot.press("colon", *"logs @gateway", "enter")
            await until(pilot, shows(app, "@gateway has written nothing yet."))
            await pilot.press("colon", *"logs @nobody", "enter")
            await until(pilot, shows(app, "There is no log of @nobody; there are those of @server and @gateway."))
            await pilot.press("3")
            await until(pilot, shows(app, "chat-a", "step 3000"))

        on_logs(scribe, scene, first="step 3000")


def test_lines_are_selected_and_copied_as_they_are_shown(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        Engine(scribe, "a").attempt(1, LINES + HOSTILE.encode() + b"\n")
        copied = scribe.home.state / "copied.txt"

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("k", "y")
            await until(pilot, lambda: copied.exists() and copied.read_text() == "main: step 3000 is done")
            await pilot.press("v", "k", "k")
            await until(pilot, shows(app, "3 selected"))
            await pilot.press("y")
            await until(pilot, lambda: copied.read_text().count("\n") == 2)
            assert copied.read_text().startswith("main: step 2998")
            await pilot.press("G", "y")
            await until(pilot, lambda: "[red]x[/red]" in copied.read_text())
            assert "\x1b" not in copied.read_text()

        on_logs(scribe, scene, first="step 3000")


def test_times_are_those_of_the_index_and_lines_wrap(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        directory = engine.attempt(1, b"one\ntwo\n" + b"w" * 200 + b"\n", created_at=scribe.now)
        times(directory, [(0, scribe.now - MINUTE), (4, scribe.now)])

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("t")
            first, second = (clock(at) for at in (scribe.now - MINUTE, scribe.now))
            await until(pilot, shows(app, f"{first} one", f"{second} two"))
            assert sum("www" in line for line in lines_of(app)) == 1
            await pilot.press("w")
            await until(pilot, lambda: sum("www" in line for line in lines_of(app)) == 3)

        on_logs(scribe, scene, first="two")


def test_the_times_of_an_older_attempt_name_their_day(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        began = scribe.now - 72 * HOUR
        directory = Engine(scribe, "a").attempt(1, b"long ago\n", created_at=began)
        times(directory, [(0, began)])

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await pilot.press("t")
            await until(pilot, shows(app, f"{clock(began, '%b %d %H:%M:%S')} long ago"))

        on_logs(scribe, scene, first="long ago")


def test_another_instance_that_fails_takes_nobody_away(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a", "b")
        engine.attempt(1, LINES)
        engine.attempt(1, b"b speaks\n", "b")

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            set_instance(scribe.home, engine.instances["b"], state="failed", phase="failed", failure_code="HOST_OOM")
            await pilot.press("1")
            await until(pilot, shows(app, "degraded"))
            await pilot.press("3")
            await until(pilot, shows(app, "step 3000"))
            assert "chat-a" in screen_of(app)

        on_logs(scribe, scene, first="step 3000")


@pytest.mark.parametrize("size", SIZES)
def test_nothing_an_engine_writes_can_act(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        hostile = HOSTILE.encode()
        output = [
            b"\xff\xfe\xc3\x28 not text",
            hostile,
            b"50%\r" + hostile + b"\r100%",
            b"\x1b[" * 500_000,
            b"[link=x]" + b"y" * 1_000_000,
            b"\x00\x01\x02\x08\x0b\x7f",
            "\u202egnihton\u2066\u2028\u200f".encode(),
            ("宽" * 300 + " e\u0301").encode(),
            b"the end",
        ]
        data = b"\n".join(output) + b"\n"
        engine = Engine(scribe, "a")
        set_instance(scribe.home, engine.instances["a"], name=f"chat-a{HOSTILE}")
        engine.attempt(1, data)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            for keys in ((), ("w",), ("t",), ("g",), ("l", "l"), ("w",), ("v", "G"), ("escape", "e")):
                await pilot.press(*keys)
                await pilot.pause()
                assert not set(screen_of(app)) & set("\x1b\x07\x9b\x90\x9c\x00\x08\x7f\u202e\u2066\u2028\u200f\r")
                assert all(cell_len(line) <= size[0] for line in lines_of(app))
            await pilot.press("G")
            await until(pilot, shows(app, "[red]x[/red]", "100%", "the end"))
            assert "50%" not in screen_of(app), "of a progress line only what it said last is shown"

        on_logs(scribe, scene, size, first="the end")


def test_the_log_has_the_keys_again_when_another_came_while_a_line_was_typed(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        engine = Engine(scribe, "a")
        engine.attempt(1, LINES)

        async def scene(app: Console, pilot: Pilot[Any]) -> None:
            await until(pilot, shows(app, "● following"))
            await pilot.press("slash", *"st")
            scribe.end(engine.attempts["a", 1])
            engine.attempt(2, b"a new one\n" * 100)
            await until(pilot, shows(app, "attempt 2 of 2", "a new one"))
            await pilot.press(*"ep")
            await until(pilot, shows(app, "/step"))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.focused, LogPane))
            await pilot.press("k")
            await until(pilot, shows(app, "◔ paused"))

        on_logs(scribe, scene, first="step 3000")
