"""Whatever hangs, keys are answered meanwhile, and what is shown says how old it is."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.e2e.test_locked_store import locked
from tests.screens.support import Scribe, failing, serving
from tests.screens.talking import Person, visit


async def keys_answer(person: Person) -> None:
    """Go round the screens, and to their help, and come back to the fleet."""
    await person.presses("2")
    await person.sees("launch it")
    await person.presses("escape", "6")
    await person.sees("LAST USED")
    await person.presses("question_mark")
    await person.sees("End the key now")
    await person.presses("escape", "1", "j")
    await person.sees("▸coder")
    await person.presses("k")
    await person.sees("▸chat")


@contextmanager
def mute() -> Iterator[str]:
    """Something that accepts and never answers; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def withheld(store: Path) -> Iterator[None]:
    """The store held so that nobody can even read it."""
    with closing(sqlite3.connect(store, isolation_level=None, timeout=30)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_a_store_that_somebody_else_writes_to(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        failing(scribe)
        scribe.up()

        async def scene(person: Person) -> None:
            await person.sees("▸chat", "coder")
            with locked(scribe.home.store):
                await person.presses("s")
                await person.sees("stop chat …")
                await keys_answer(person)
                assert "STOPPING" not in person.screen
            await person.sees("stop chat: done.", "STOPPING")

        visit(scribe.home, scene)


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        failing(scribe)
        scribe.up()

        async def scene(person: Person) -> None:
            await person.sees("▸chat", "coder")
            with withheld(scribe.home.store):
                await person.sees("? this is ", " s old", "STORE_BUSY")
                await keys_answer(person)
                await person.sees("? this is ", " s old")
            await person.waits(lambda: " s old" not in person.screen)

        scribe.close()
        visit(scribe.home, scene)


def test_a_gateway_that_accepts_and_never_answers(tmp_path: Path) -> None:
    with mute() as url, Scribe(tmp_path) as scribe:
        serving(scribe)
        failing(scribe)
        scribe.up(url)

        async def scene(person: Person) -> None:
            await person.sees("▸chat", "coder")
            await keys_answer(person)
            await person.presses("4")
            await person.sees("chat  variant 3")
            await person.asks("Anybody?")
            await person.sees("▸ Anybody?", "◐ waiting")
            await person.presses("1")
            await keys_answer(person)
            await person.presses("4")
            await person.sees("◐ waiting")
            await person.presses("ctrl+x")
            await person.sees("○ stopped")

        visit(scribe.home, scene)


def test_a_question_before_it_is_known_whom_to_ask(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        serving(scribe)
        scribe.close()

        async def scene(person: Person) -> None:
            with withheld(scribe.home.store):
                await person.presses("4")
                await person.sees("ask something")
                await person.asks("Anybody?")
                await person.sees("It is not known yet whom to ask", "Anybody?")
            await person.sees("chat  variant 3")

        visit(scribe.home, scene)
