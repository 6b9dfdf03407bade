"""The deployment screen: every region at both sizes, rollback, copying, and that nothing shown there can act."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from app.console import Console, Options
from app.settings import Home
from tests.screens.support import HOSTILE, HOUR, MINUTE, SECOND, Scribe, failing, looks, serving
from tests.widgets.support import LARGE, SMALL, lines_of, play, screen_of, until

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]


async def opened(home: Home, pilot: Pilot[Any], name: str) -> None:
    """The screen of a deployment, once it shows it."""
    app = pilot.app
    assert isinstance(app, Console)
    await until(pilot, lambda: name in app.names)
    app.go("deployment", name)
    await until(pilot, lambda: "VARIANT" in screen_of(app) and f" {name}  " in screen_of(app))


def columns(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.store)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("situation", [serving, failing])
def test_all_there_is_to_know(tmp_path: Path, size: tuple[int, int], situation: Callable[..., str]) -> None:
    with Scribe(tmp_path) as scribe:
        name = "chat" if situation is serving else "coder"
        situation(scribe, name, **({} if situation is serving else {"evidence": "failed to allocate 12345678 bytes"}))
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=size) as pilot:
                await opened(scribe.home, pilot, name)
                await until(pilot, lambda: "http://127.0.0.1:9/v1" in screen_of(app))
                assert all(cell_len(line) <= size[0] for line in lines_of(app))
                await looks(pilot, f"{situation.__name__}-{size[0]}")

        play(scene)


def test_in_ascii_it_is_ascii(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options(ascii=True))
            async with app.run_test(size=LARGE) as pilot:
                await opened(scribe.home, pilot, "chat")
                assert screen_of(app).isascii()
                assert "* DEPLOYED" in screen_of(app)
                assert "context 4096 > 8192" in screen_of(app)

        play(scene)


def test_rollback_names_the_variants_asks_and_is_wished(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await opened(scribe.home, pilot, "chat")
                await pilot.press("r")
                await until(pilot, lambda: "Variant 3 is the current one" in screen_of(app))
                await pilot.press("j", "r")
                await until(pilot, lambda: "Roll chat back to variant 2?" in screen_of(app))
                assert "From variant 3 to 2: KV q8_0 → f16, flags threads=4 → –." in screen_of(app)
                await pilot.press("enter")
                await until(pilot, lambda: "Roll chat back" not in screen_of(app))
                await pilot.press("colon", *"rollback 1", "enter")
                await until(pilot, lambda: "Roll chat back to variant 1?" in screen_of(app))
                await pilot.press("y")
                await until(pilot, lambda: "1 current" in screen_of(app))
                await until(pilot, lambda: "variant 3 → 1" in screen_of(app))

        play(scene)
        assert columns(scribe.home, "SELECT v.number FROM deployments d JOIN variants v ON v.id = d.variant_id") == [
            (1,)
        ]


def test_stop_is_wished_and_removal_asks(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.up()

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await opened(scribe.home, pilot, "chat")
                await pilot.press("s")
                await until(pilot, lambda: "STOPPING" in screen_of(app))
                await pilot.press("x")
                await until(pilot, lambda: "Remove chat?" in screen_of(app))
                await pilot.press("y")
                await until(pilot, lambda: columns(scribe.home, "SELECT wish FROM deployments") == [("gone",)])

        play(scene)


def test_what_calls_it_is_copied_whole(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.up()
        copied = scribe.home.state / "copied.txt"

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await opened(scribe.home, pilot, "chat")
                await until(pilot, lambda: "http://127.0.0.1:9/v1" in screen_of(app))
                await pilot.press("y")
                await until(pilot, lambda: copied.exists() and copied.read_text() == "http://127.0.0.1:9/v1")
                await pilot.press("c")
                await until(pilot, lambda: "curl http://127.0.0.1:9/v1/chat/completions" in copied.read_text())
                body = copied.read_text().partition("-d '")[2].rstrip("'")
                assert json.loads(body)["model"] == "chat"
                await pilot.press("o")
                await until(pilot, lambda: "OpenAI(base_url=" in copied.read_text())
                compile(copied.read_text(), "copied", "exec")

        play(scene)


def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await opened(scribe.home, pilot, "chat")
                assert "no gateway runs" in screen_of(app)
                await pilot.press("c")
                await until(pilot, lambda: "so there is no URL yet" in screen_of(app))

        play(scene)


def test_the_attempt_shown_is_that_of_the_instance_picked_with_i(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = serving(scribe)
        began = scribe.now - 3 * SECOND
        instance = scribe.instance(
            deployment, "c", state="pending", phase="loading", since=began + SECOND, created_at=began
        )
        scribe.attempt(instance, 4)
        starting = (("pending/allocating", "wished to run", 0), ("pending/loading", "it loads", SECOND))
        scribe.events(deployment, "chat-c", began, starting)

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=LARGE) as pilot:
                await opened(scribe.home, pilot, "chat")
                assert "ATTEMPT 1 chat-a" in screen_of(app)
                await pilot.press("i", "i")
                await until(pilot, lambda: "ATTEMPT 4 chat-c" in screen_of(app))
                text = screen_of(app)
                assert "◐ loading" in text
                assert "○ serving" in text, "what is to come is shown as waiting"
                await pilot.press("i")
                await until(pilot, lambda: "ATTEMPT 1 chat-a" in screen_of(app))

        play(scene)


def test_events_arrive_as_they_are_written_and_scroll_by_key(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = serving(scribe)

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                await opened(scribe.home, pilot, "chat")
                restless = [("pending/loading", f"cause {n}", n) for n in range(60)]
                scribe.events(deployment, "chat-a", scribe.now, restless)
                await until(pilot, lambda: "cause 59" in screen_of(app))
                assert "cause 40" not in screen_of(app)
                await pilot.press("tab", "pagedown", "pagedown", "pagedown", "pagedown")
                await until(pilot, lambda: "cause 40" in screen_of(app))

        play(scene)


def test_one_that_is_gone_or_was_never_there_is_said(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=SMALL) as pilot:
                app.go("deployment")
                await until(pilot, lambda: "Nothing is launched yet." in screen_of(app))
                app.go("deployment", "ghost")
                await until(pilot, lambda: "There is no deployment ghost any more." in screen_of(app))
                await pilot.press("r", "i", "c", "y")
                deployment = scribe.deployment("fresh", age=MINUTE)
                app.go("deployment", "fresh")
                await until(pilot, lambda: "REQUESTED" in screen_of(app))
                assert "no instance" in screen_of(app)
                assert deployment

        play(scene)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_that_is_shown_can_act(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        long = HOSTILE + "[" * 1_000_000
        deployment = scribe.deployment("chat", {"flags": {HOSTILE: HOSTILE}, "engine": HOSTILE, "backend": HOSTILE})
        instance = scribe.instance(
            deployment,
            name=f"chat-a{HOSTILE}",
            state="failed",
            phase="failed",
            failure_code="HOST_OOM",
            failure_evidence=long,
            failed_at=scribe.now - HOUR,
        )
        scribe.attempt(instance)
        scribe.events(deployment, HOSTILE, scribe.now, [(HOSTILE, HOSTILE, 0)], long)

        async def scene() -> None:
            app = Console(scribe.home, Options())
            async with app.run_test(size=size) as pilot:
                await opened(scribe.home, pilot, "chat")
                await until(pilot, lambda: "[red]x[/red]" in screen_of(app))
                await pilot.press("tab", "G")
                text = screen_of(app)
                assert not set(text) & {"\x1b", "\x07", "\u202e", "\u200f", "\x9b", "\x90", "\x9c"}
                assert all(cell_len(line) <= size[0] for line in lines_of(app))

        play(scene)
