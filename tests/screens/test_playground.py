"""The playground: answers as they stream, several at once, stopped, refused, kept, taken along, hostile."""

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.events import Paste

from app.domain.money import Price, format_amount
from app.settings import Home
from app.store.migrate import schema_version
from tests.gateway.engine import BEHAVIOURS, PROMPT_TOKENS, WORDS, Call, Engine, saying
from tests.screens.support import HOSTILE
from tests.screens.talking import Person, talking, visit
from tests.widgets.support import LARGE, SMALL, lines_of

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
ANSWER = "".join(WORDS)
LONG = ("Riga", ",\n", "- ", "Tallinn ", "and ", "Gdansk. " * 12, "\n\n```\nprint()\n```")

FORBIDDEN = {chr(n) for n in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""What a line on the screen must not hold: control characters and those that change the direction of text."""


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.store)) as connection:
        return connection.execute(sql).fetchall()


def bodies(engine: Engine) -> list[dict[str, Any]]:
    return [call.body for call in engine.calls]


async def opened(person: Person, name: str = "demo") -> None:
    """The playground, with a deployment to ask."""
    await person.sees(name)
    await person.presses("4")
    await person.sees("ask something", "DEPLOYED")


async def pick(person: Person, name: str) -> None:
    """Ask another one as well."""
    await person.presses("a")
    await person.sees("Ask another one as well")
    await person.waits(lambda: person.app.screen.query("LineTable"))
    table = person.app.screen.query_one("LineTable")
    table.move_to(name)  # type: ignore[attr-defined]
    await person.presses("enter")
    await person.sees(f"▸{name}")


@pytest.mark.parametrize("size", SIZES)
def test_a_conversation(tmp_path: Path, size: tuple[int, int]) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.words = LONG

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Which ports?")
            await person.sees("print()", f"{PROMPT_TOKENS} in 7 out")
            await person.presses("i")
            engine.words = ["I ", "do ", "not ", "know."]
            await person.asks("And then?")
            await person.sees("I do not know.", "4 out")
            assert all(cell_len(line) <= size[0] for line in lines_of(person.app))
            await person.looks(f"talk-{size[0]}")

        visit(scribe.home, scene, size)
        assert [m["content"] for m in bodies(engine)[1]["messages"]] == ["Which ports?", "".join(LONG), "And then?"]


def test_an_answer_that_is_billed_by_its_tokens_says_what_it_cost(tmp_path: Path) -> None:
    price = Price(token_in=2_000_000, token_out=10_000_000, basis="token")
    with talking(tmp_path, "demo", price=price) as (scribe, _):

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Ports?")
            await person.sees(f"{PROMPT_TOKENS} in 3 out · {format_amount(2 * PROMPT_TOKENS + 10 * 3)} USD")

        visit(scribe.home, scene)


@pytest.mark.parametrize("size", SIZES)
def test_several_are_asked_at_once(tmp_path: Path, size: tuple[int, int]) -> None:
    with talking(tmp_path, "coder", "demo") as (scribe, engine):

        async def scene(person: Person) -> None:
            await opened(person, "coder")
            await person.presses("escape")
            await pick(person, "demo")
            await person.presses("i")
            await person.asks("Ports?")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 2)
            await person.sees(ANSWER, " in 3 out", *(["fastest"] if size == LARGE else []))
            await person.looks(f"several-{size[0]}")
            assert ("coder  variant" in person.screen) == (size == LARGE), "there is room for one, or for both"
            await person.presses("left_square_bracket")
            await person.sees("▸coder")
            await person.presses("x")
            await person.waits(lambda: "coder  variant" not in person.screen)

        visit(scribe.home, scene, size)
        assert sorted(body["model"] for body in bodies(engine)) == ["coder", "demo"]
        assert rows(scribe.home, "SELECT place, deployment, answer FROM chat_turns ORDER BY place") == [
            (1, "coder", ANSWER),
            (2, "demo", ANSWER),
        ]


def test_four_at_once_is_the_most_and_one_the_least(tmp_path: Path) -> None:
    with talking(tmp_path, "a", "b", "c", "demo", "e") as (scribe, _):

        async def scene(person: Person) -> None:
            await opened(person)
            await person.presses("escape", "x")
            await person.sees("It is the only one.")
            for name in ("b", "c", "demo"):
                await pick(person, name)
            await person.presses("a")
            await person.sees("4 at once is the most.")

        visit(scribe.home, scene, LARGE)


@pytest.mark.parametrize("behaviour", ["silence", "stall", "drip"])
@pytest.mark.parametrize("key", ["escape", "ctrl+x"])
def test_an_answer_is_stopped_and_the_talk_goes_on(tmp_path: Path, behaviour: str, key: str) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.behaviour = behaviour

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Ports?")
            await person.sees("waiting" if behaviour == "silence" else "answering")
            await person.presses("i", *"no")
            await person.presses("enter")
            await person.sees("An answer is under way")
            await person.presses(key)
            await person.sees("stopped")
            await person.waits(lambda: engine.seen["abandoned"] == 1)
            engine.behaviour = ""
            await person.presses("enter")
            await person.sees(ANSWER, "3 out")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 2)

        visit(scribe.home, scene)
        assert rows(scribe.home, "SELECT question, stopped FROM chat_turns ORDER BY id") == [("Ports?", 1), ("no", 0)]


def test_what_is_refused_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal: dict[str, object] = {"code": "NO_CAPACITY", "message": "Both are busy.", "remedy": "Come back in 2 s."}
    monkeypatch.setitem(BEHAVIOURS, "full", saying(503, refusal))
    with talking(tmp_path, "coder", "demo") as (scribe, engine):
        engine.behaviours = {"demo": "full"}

        async def scene(person: Person) -> None:
            await opened(person, "coder")
            await person.presses("escape")
            await pick(person, "demo")
            await person.presses("i")
            await person.asks("Ports?")
            await person.sees("✖ NO_CAPACITY  Both are busy.", "Come back in 2 s.", ANSWER)
            assert "fastest" not in person.screen
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 2)

        visit(scribe.home, scene)
        assert rows(scribe.home, "SELECT code FROM chat_turns ORDER BY place") == [(None,), ("NO_CAPACITY",)]


def test_a_dead_gateway_is_said_and_keys_answer(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):

        async def scene(person: Person) -> None:
            await opened(person)
            engine.close()
            await person.asks("Ports?")
            await person.sees("SERVER_DOWN", "stoker up")
            await person.presses("1")
            await person.sees("NAME", "STATUS")
            engine.__post_init__()

        visit(scribe.home, scene)


def test_it_goes_on_while_another_screen_is_looked_at(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.behaviour = "wait"

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Ports?")
            await person.sees("waiting")
            await person.presses("6")
            await person.sees("EXPIRES")
            engine.gate.set()
            await person.waits(lambda: rows(scribe.home, "SELECT answer FROM chat_turns") == [(ANSWER,)])
            await person.presses("4")
            await person.sees(ANSWER)

        visit(scribe.home, scene)


def test_questions_are_recalled_also_by_the_next_console(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, _):

        async def first(person: Person) -> None:
            await opened(person)
            for question in ("one", "two"):
                await person.asks(question)
                await person.sees(f"▸ {question}", "3 out")
                await person.presses("i")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 2)
            await person.presses(*"dra", "up", "up")
            await person.sees("▸ one")
            await person.presses("down", "down")
            await person.sees("▸ dra")

        async def second(person: Person) -> None:
            await opened(person)
            await person.presses("up", "up", "up")
            await person.sees("▸ one")

        visit(scribe.home, first)
        visit(scribe.home, second)


def test_a_question_may_have_several_lines(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):

        async def scene(person: Person) -> None:
            await opened(person)
            person.app.screen.query_one("QuestionEntry").post_message(Paste("def f():\n\treturn 1\n"))
            await person.sees("def f():⏎")
            await person.presses("enter")
            await person.sees("▸ def f():", ANSWER)

        visit(scribe.home, scene)
        assert bodies(engine)[0]["messages"] == [{"role": "user", "content": "def f():\n    return 1"}]


def test_settings_go_along_and_nonsense_is_said(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):

        async def scene(person: Person) -> None:
            await opened(person)
            await person.presses("escape", "s")
            await person.sees("TEMPERATURE", "the engine's own")
            await person.presses(*"3")
            await person.sees("temperature: `3` is no number from 0 to 2.")
            await person.presses("backspace", *"0.5", "down", *"32", "down", "down", *"Short", "escape")
            await person.waits(lambda: "TEMPERATURE" not in person.screen)
            await person.asks("Ports?")
            await person.sees(ANSWER)
            await person.waits(lambda: rows(scribe.home, "SELECT settings FROM chats"))

        visit(scribe.home, scene)
        (body,) = bodies(engine)
        assert (body["temperature"], body["max_tokens"], body["messages"][0]) == (
            0.5,
            32,
            {"role": "system", "content": "Short"},
        )
        assert "seed" not in body
        ((kept,),) = rows(scribe.home, "SELECT settings FROM chats")
        assert json.loads(kept) == {"temperature": 0.5, "max_tokens": 32, "system": "Short"}


def test_past_conversations_are_shown_gone_on_with_and_forgotten(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):

        async def first(person: Person) -> None:
            await opened(person)
            await person.asks("What is old?")
            await person.waits(lambda: rows(scribe.home, "SELECT 1 FROM chat_turns"))
            await person.presses("ctrl+n")
            await person.waits(lambda: "What is old?" not in person.screen)
            await person.asks("What is new?")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chats")) == 2)

        async def second(person: Person) -> None:
            await opened(person)
            await person.presses("escape", "h")
            await person.sees("FIRST QUESTION", "What is old?", "What is new?")
            await person.presses("j", "enter")
            await person.sees("▸ What is old?", ANSWER)
            await person.presses("i")
            await person.asks("And now?")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 3)
            await person.presses("h")
            await person.sees("FIRST QUESTION", "What is new?")
            await person.presses("x")
            await person.sees("Forget this conversation?")
            await person.presses("y")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chats")) == 1)

        visit(scribe.home, first)
        visit(scribe.home, second)
        assert [m["content"] for m in bodies(engine)[2]["messages"]] == ["What is old?", ANSWER, "And now?"]
        assert rows(scribe.home, "SELECT question FROM chat_turns") == [("What is new?",)]


def test_the_last_answer_and_the_request_are_taken_along(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.words = ["It's `$HOME` \x1b]52;c;QQ==\x07", "\tdone"]
        copied = scribe.home.state / "copied.txt"

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("It's what?")
            await person.sees("done", "2 out")
            await person.presses("y")
            await person.waits(lambda: copied.exists() and copied.read_text() == "It's `$HOME` \tdone")
            await person.presses("c")
            await person.waits(lambda: copied.read_text().startswith("curl "))

        visit(scribe.home, scene)
        text = copied.read_text()
        words = shlex.split(text.replace("\\\n", ""))
        assert words[2] == f"{engine.url}/v1/chat/completions"
        assert "Authorization: Bearer $STOKER_KEY" in words
        assert json.loads(words[-1]) == bodies(engine)[0]
        assert text.isascii()
        assert (scribe.home.keys / "playground.key").read_text() not in text


def test_whom_one_wants_to_talk_to_is_asked(tmp_path: Path) -> None:
    with talking(tmp_path, "coder", "demo") as (scribe, _):

        async def scene(person: Person) -> None:
            await person.sees("demo")
            await person.presses("j", "p")
            await person.sees("demo  variant 1")
            await person.asks("Ports?")
            await person.sees(ANSWER)
            await person.presses("1")
            await person.sees("STATUS")
            await person.presses("4")
            await person.sees("demo  variant 1", ANSWER)
            await person.presses("1")
            await person.sees("STATUS")
            await person.presses("g", "p")
            await person.sees("coder  variant 1")
            assert ANSWER not in person.screen

        visit(scribe.home, scene)


def test_two_variants_that_serve_can_be_compared(tmp_path: Path) -> None:
    with talking(tmp_path) as (scribe, engine):
        deployment = scribe.deployment("demo", {"context": 8192})
        variants = [i for (i,) in rows(scribe.home, "SELECT id FROM variants ORDER BY number")]
        for letter, variant in zip("ab", variants, strict=True):
            scribe.attempt(scribe.instance(deployment, letter, variant_id=variant))

        async def scene(person: Person) -> None:
            await opened(person)
            await person.presses("escape")
            await pick(person, "demo@1")
            await pick(person, "demo@2")
            await person.presses("i")
            await person.asks("Ports?")
            await person.waits(lambda: len(rows(scribe.home, "SELECT 1 FROM chat_turns")) == 3)

        visit(scribe.home, scene)
        assert sorted(body["model"] for body in bodies(engine)) == ["demo", "demo@1", "demo@2"]
        kept = rows(scribe.home, "SELECT deployment, variant FROM chat_turns ORDER BY place")
        assert kept == [("demo", None), ("demo", 1), ("demo", 2)]


def test_nobody_to_ask_and_somebody_who_is_gone(tmp_path: Path) -> None:
    with talking(tmp_path) as (scribe, engine):

        async def scene(person: Person) -> None:
            await person.sees("Nothing is launched yet.")
            await person.presses("4")
            await person.sees("there is nobody to ask")
            await person.asks("Ports?")
            scribe.attempt(scribe.instance(scribe.deployment("demo")))
            await person.sees("demo  variant 1  ● DEPLOYED")
            with closing(sqlite3.connect(scribe.home.store)) as connection:
                connection.execute("UPDATE deployments SET gone_at = 1")
                connection.commit()
            await person.sees("? not there")

        visit(scribe.home, scene)
        assert engine.calls == []


def test_read_only_it_asks_nobody(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine):

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Ports?")
            await person.sees("This console is read-only.")

        visit(scribe.home, scene, read_only=True)
        assert engine.calls == []
        assert rows(scribe.home, "SELECT 1 FROM keys") == []


def test_a_store_of_an_older_schema_is_said_and_keys_answer(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, _):
        with closing(sqlite3.connect(scribe.home.store)) as connection:
            connection.execute(f"PRAGMA user_version = {schema_version() - 1}")

        async def scene(person: Person) -> None:
            await person.sees("SERVER_OLDER", "stoker down && stoker up")
            await person.presses("4")
            await person.sees("ask something", "SERVER_OLDER")
            await person.presses("escape", "6")
            await person.sees("REQUEST", "SERVER_OLDER")

        visit(scribe.home, scene)


def test_nothing_that_is_said_can_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences, also ones cut in two, markup, bidi controls, floods: in answers, refusals and questions."""
    refusal: dict[str, object] = {"code": "INVALID_REQUEST", "message": HOSTILE, "remedy": HOSTILE}
    monkeypatch.setitem(BEHAVIOURS, "hostile refusal", saying(400, refusal))

    async def hostile(engine: Engine, call: Call) -> None:
        call.head(200, "text/event-stream", "X-Request-Id: a\x1b[31mb")
        for text in (
            HOSTILE,
            "\x1b",
            "[2J\x1b]0;ow",
            "ned\x07",
            "\x9b",
            "31m",
            "a\x00b\x7f",
            "\u0301" * 5000,
            "x" * 1_000_000,
        ):
            call.delta(text)
            await call.writer.drain()
        call.delta("\nthe end")
        call.chunk(b"")

    monkeypatch.setitem(BEHAVIOURS, "hostile", hostile)
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.behaviour = "hostile"

        async def scene(person: Person) -> None:
            await opened(person)
            await person.asks("Ports?")
            await person.sees("the end", "id a")
            for behaviour in ("hostile refusal", ""):
                engine.behaviour = behaviour
                await person.presses("i")
                person.app.screen.query_one("QuestionEntry").post_message(Paste(HOSTILE))
                await person.presses("enter")
                await person.waits(lambda: "waiting" not in person.screen and "answering" not in person.screen)
                await person.presses("g")
                await person.sees("[red]x[/red]")
            await person.presses("h")
            await person.sees("FIRST QUESTION", "Ports?")
            for line in lines_of(person.app):
                assert cell_len(line) <= LARGE[0]
                assert len(line) <= 4 * LARGE[0]
                assert not set(line) & FORBIDDEN, ascii(line)

        visit(scribe.home, scene, LARGE)
        for (text,) in rows(
            scribe.home, "SELECT answer || question || message || remedy || request_id FROM chat_turns"
        ):
            assert not set(text) & set("\x1b\x9b\x90\x00")
