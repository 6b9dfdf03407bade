"""Access: keys made, rotated and revoked by hand; requests and refusals with their steps; nothing shown can act."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from app.domain.ids import first_ulid
from app.domain.keys import digest, parse_key
from app.settings import Home
from app.store import keys, tables
from app.store.write import Store
from tests.screens.support import HOSTILE, MINUTE, SECOND, Scribe
from tests.screens.talking import Person, visit
from tests.screens.test_playground import FORBIDDEN
from tests.widgets.support import LARGE, SMALL, lines_of

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.store)) as connection:
        return connection.execute(sql).fetchall()


def write(home: Home, *instances: Any) -> None:
    store = Store(home.store)
    with store.write() as session:
        session.add_all(instances)
    store.close()


def key(key_id: str, name: str, age: int = MINUTE, **columns: Any) -> tables.Key:
    now = time.time_ns() // 1_000
    return tables.Key(id=key_id, name=name, digest=bytes(32), created_at=now - age, **columns)


def request(n: int, at: int, **columns: Any) -> tables.Request:
    """The `n`-th request, at `at`."""
    steps = [{"name": "received", "at": at, "detail": "POST /v1/chat/completions"}]
    values: dict[str, Any] = {
        "id": f"{first_ulid(at)[:23]}{n:03}",
        "request_id": f"req-{n}",
        "path": "/v1/chat/completions",
        "stream": 1,
        "status": 200,
        "started_at": at,
        "ttft_us": 182_000,
        "duration_us": 2_300_000,
        "tokens_in": 31,
        "tokens_out": 128,
        "steps": json.dumps(steps),
    }
    return tables.Request(**values | columns)


def busy(scribe: Scribe) -> None:
    """Two deployments, keys of every state, requests of every outcome."""
    demo, coder = scribe.deployment("demo"), scribe.deployment("coder")
    instance = scribe.instance(demo)
    attempt = scribe.attempt(instance)
    now = time.time_ns() // 1_000
    write(
        scribe.home,
        key("aaaaaaaa", "old", 9 * MINUTE, revoked_at=now - MINUTE),
        key("bbbbbbbb", "alice", 8 * MINUTE, last_used_at=now - 150 * SECOND),
        key("cccccccc", "bob's bot", 7 * MINUTE, scope=json.dumps([demo]), expires_at=now + 30 * 24 * 60 * MINUTE),
        key("dddddddd", "late", 6 * MINUTE, expires_at=now - 150 * SECOND),
    )
    served = {"key_id": "bbbbbbbb", "deployment_id": demo, "instance_id": instance, "attempt_id": attempt}
    refused = {"ttft_us": None, "tokens_in": 0, "tokens_out": 0, "duration_us": 900}
    write(
        scribe.home,
        request(1, now - 200 * SECOND, **served),
        request(2, now - 190 * SECOND, **served, estimated=1),
        *(
            request(n, now - 180 * SECOND, deployment_id=coder, status=503, code="NO_CAPACITY", **refused)
            for n in range(3, 6)
        ),
        request(6, now - 150 * SECOND, status=401, code="AUTH_MISSING_TOKEN", **refused),
        request(7, now - 130 * SECOND, **{**served, "status": 499}),
    )
    scribe.up()


async def opened(person: Person, *texts: str) -> None:
    await person.sees("STATUS")
    await person.presses("6")
    await person.sees("WHEN", *texts)


@pytest.mark.parametrize("size", SIZES)
def test_who_may_call_and_what_came_of_it(tmp_path: Path, size: tuple[int, int]) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "req-1", "NO_CAPACITY")
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))
            await person.looks(f"access-{size[0]}")

        visit(scribe.home, scene, size)


def test_a_key_is_made_and_shown_once(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)
        shown: list[str] = []

        async def scene(person: Person) -> None:
            await opened(person, "alice")
            person.app.copy_to_clipboard = shown.append  # type: ignore[method-assign,assignment] # there is no terminal to ask
            await person.presses("n")
            await person.sees("A new key", "every deployment")
            await person.presses(*"carol", "down", *"demi", "ctrl+l")
            await person.sees("There is no deployment `demi`.")
            await person.presses("backspace", *"o,co", "right", "down", *"soon", "ctrl+l")
            await person.sees("`soon` is no time")
            await person.presses("ctrl+u", *"30d", "enter")
            await person.sees("It cannot be shown again", "http://127.0.0.1:9/v1", "from openai import OpenAI")
            await person.presses("y")
            await person.sees("key copied")
            await person.presses("c")
            await person.sees("curl command copied")
            await person.presses("o")
            await person.sees("Python code copied")
            assert shown[0] in person.screen
            await person.presses("enter", "q", "escape")
            await person.sees("carol", "in 29d")
            assert shown[0] not in person.screen

        visit(scribe.home, scene, LARGE)
        text, curl, python = shown
        assert rows(scribe.home, "SELECT id, digest FROM keys WHERE name = 'carol'") == [
            (parse_key(text), digest(text.encode()))
        ]
        ((scope,),) = rows(scribe.home, "SELECT scope FROM keys WHERE name = 'carol'")
        names = dict(rows(scribe.home, "SELECT id, name FROM deployments"))
        assert [names[i] for i in json.loads(scope)] == ["demo", "coder"]
        assert f"Bearer {text}" in curl
        compile(python, "copied", "exec")
        assert not (scribe.home.state / "copied.txt").exists(), "a secret is not kept in a file"


def test_a_key_is_rotated_with_grace(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "alice")
            await person.presses("j", "R")
            await person.sees("A new key in place of stk_bbbbbbbb alice")
            await person.presses("ctrl+u", *"maybe", "enter")
            await person.sees("`maybe` is no length of time")
            await person.presses("ctrl+u", *"2h", "enter")
            await person.sees("It cannot be shown again")
            await person.presses("escape")
            await person.sees("expiring", "in 1h")

        visit(scribe.home, scene, LARGE)
        assert rows(scribe.home, "SELECT count(*) FROM keys WHERE name = 'alice'") == [(2,)]


def test_a_key_is_revoked_after_a_yes(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "alice")
            await person.presses("x")
            await person.sees("Revoke stk_cccccccc bob's bot?", "It is for demo.")
            await person.presses("enter")
            await person.waits(lambda: "Revoke stk_" not in person.screen)
            await person.presses("x")
            await person.sees("Revoke stk_cccccccc")
            await person.presses("y")
            await person.waits(lambda: rows(scribe.home, "SELECT count(*) FROM keys WHERE revoked_at > 0") == [(2,)])

        visit(scribe.home, scene, LARGE)


def test_what_was_ended_meanwhile_is_said(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "alice")
            await person.presses("R")
            await person.sees("A new key in place of stk_cccccccc")
            store = Store(scribe.home.store)
            with store.write() as session:
                keys.revoke(session, "cccccccc")
            store.close()
            await person.presses("enter")
            await person.sees("AUTH_REVOKED_TOKEN", "has ended already")

        visit(scribe.home, scene, LARGE)


def test_a_request_shows_its_steps_and_requests_are_filtered(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "req-1")
            await person.presses("tab", "G", "enter")
            await person.sees("served by demo on demo-a", "POST /v1/chat/completions")
            await person.presses("escape", "slash", *"missing")
            await person.waits(lambda: "req-1" not in person.screen)
            await person.sees("req-6", "AUTH_MISSING_TOKEN")
            await person.presses("escape")
            await person.sees("req-1")
            await person.presses("y")
            await person.sees("id of the request copied")

        visit(scribe.home, scene, LARGE)


def test_nothing_yet(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.deployment("demo")
        scribe.up()

        async def scene(person: Person) -> None:
            await opened(person, "There is no key yet; n makes one.", "Nothing was refused")
            await person.presses("x")
            await person.sees("There is no key yet.")
            await person.presses("tab", "enter", "y")

        visit(scribe.home, scene, SMALL)


def test_read_only_nothing_is_made_or_ended(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy(scribe)

        async def scene(person: Person) -> None:
            await opened(person, "alice")
            for pressed in ("n", "R", "x"):
                await person.presses(pressed)
                await person.sees("This console is read-only.")

        visit(scribe.home, scene, LARGE, read_only=True)


def test_nothing_that_is_shown_can_act(tmp_path: Path) -> None:
    """A client chooses its request id, an operator a key's name, an engine the text of a step."""
    with Scribe(tmp_path) as scribe:
        now = time.time_ns() // 1_000
        demo = scribe.deployment("demo")
        steps = json.dumps([{"name": HOSTILE, "at": now, "detail": HOSTILE * 400}])
        write(
            scribe.home,
            key("aaaaaaaa", HOSTILE * 3),
            request(1, now - MINUTE, request_id=HOSTILE, key_id="aaaaaaaa", deployment_id=demo, steps=steps),
            request(2, now - MINUTE, request_id="x", code=HOSTILE, status=503, key_id=HOSTILE),
        )
        scribe.up()

        async def scene(person: Person) -> None:
            await opened(person, "[red]x[/red]")
            await person.presses("x")
            await person.sees("Revoke stk_aaaaaaaa")
            clean(person)
            await person.presses("n")
            await person.presses("tab", "G", "enter")
            await person.sees("AFTER")
            clean(person)

        visit(scribe.home, scene, LARGE)


def clean(person: Person) -> None:
    for line in lines_of(person.app):
        assert cell_len(line) <= LARGE[0]
        assert not set(line) & FORBIDDEN, ascii(line)
