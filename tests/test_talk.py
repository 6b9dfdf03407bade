"""Talking through a gateway, which here is an engine that behaves as badly as it is told to."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.domain.chat import ChatSettings, messages, request_body
from app.domain.failures import StokerError
from app.settings import Home
from app.talk import Client, Progress, ask, ask_key
from tests.control.support import wait_for
from tests.gateway.engine import BEHAVIOURS, PROMPT_TOKENS, WORDS, Call, Engine, saying
from tests.screens.support import Scribe

BODY = request_body("demo", messages([], "Ports?"), ChatSettings())


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> Iterator[Home]:
    """A home whose gateway is the engine."""
    with Scribe(tmp_path) as scribe:
        scribe.up(engine.url)
        yield scribe.home


def keys(home: Home) -> list[str]:
    with closing(sqlite3.connect(home.store)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM keys ORDER BY created_at")]


def test_an_answer_comes_in_pieces_and_is_counted(home: Home, engine: Engine) -> None:
    pieces: list[str] = []
    answer = ask(home, "demo", [{"role": "user", "content": "Ports?"}], pieces.append)
    assert pieces == list(WORDS)
    assert answer.text == "".join(WORDS)
    assert (answer.tokens_in, answer.tokens_out) == (PROMPT_TOKENS, len(WORDS))
    assert answer.ttft_us is not None and answer.took_us is not None
    assert 0 <= answer.ttft_us <= answer.took_us
    (call,) = engine.calls
    assert call.body == BODY
    assert call.headers["authorization"] == f"Bearer {ask_key(home)}"
    assert (home.keys / "ask.key").stat().st_mode & 0o777 == 0o600
    assert keys(home) == ["stoker ask"]


@pytest.mark.parametrize("behaviour", ["crlf", "no usage"])
def test_any_stream_that_means_something_is_understood(home: Home, engine: Engine, behaviour: str) -> None:
    engine.behaviour = behaviour
    assert ask(home, "demo", [], lambda text: None).text == "".join(WORDS)


def test_what_is_refused_has_its_code_and_remedy(home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal: dict[str, object] = {"code": "NO_CAPACITY", "message": "Full.", "remedy": "Come back."}
    monkeypatch.setitem(BEHAVIOURS, "full", saying(503, refusal))
    engine.behaviour = "full"
    with pytest.raises(StokerError) as caught:
        ask(home, "demo", [], lambda text: None)
    assert (caught.value.code, caught.value.message, caught.value.remedy) == ("NO_CAPACITY", "Full.", "Come back.")


@pytest.mark.parametrize("behaviour", ["boom", "bad field", "reset", "cut", "nonsense", "unframed", "mad usage"])
def test_what_breaks_off_is_said(home: Home, engine: Engine, behaviour: str) -> None:
    engine.behaviour = behaviour
    progress = Progress()
    with pytest.raises(StokerError) as caught:
        Client(home, "ask").ask(BODY, progress)
    assert caught.value.code == "UPSTREAM_FAILED"
    assert caught.value.message
    assert progress.answer().text == ("RigaTallinn" if behaviour == "cut" else "")


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (b"what?", "UPSTREAM_FAILED"),
        (b"[" * 100_000, "UPSTREAM_FAILED"),
        (b"[1]", "UPSTREAM_FAILED"),
        (b'{"error": {"code": "UPSTREAM_TIMEOUT", "message": "Silent."}}', "UPSTREAM_TIMEOUT"),
        (b'{"error": {"code": "\\u001b[2J"}}', "UPSTREAM_FAILED"),
        (b'{"error": {"code": "UPSTREAM_FAILED", "message": {}}}', "UPSTREAM_FAILED"),
    ],
)
def test_a_stream_that_goes_wrong_is_said(
    home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch, event: bytes, code: str
) -> None:
    async def odd(engine: Engine, call: Call) -> None:
        call.head(200, "text/event-stream")
        call.delta("Riga")
        call.event(event)
        call.chunk(b"")

    monkeypatch.setitem(BEHAVIOURS, "odd", odd)
    engine.behaviour = "odd"
    pieces: list[str] = []
    with pytest.raises(StokerError) as caught:
        ask(home, "demo", [], pieces.append)
    assert caught.value.code == code
    assert pieces == ["Riga"]


def test_documents_of_any_shape_do_no_harm(home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    documents: list[Any] = [
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{}]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"usage": [1]},
        {"usage": {"prompt_tokens": -1, "completion_tokens": True}},
        {"error": None},
    ]

    async def odd(engine: Engine, call: Call) -> None:
        call.head(200, "text/event-stream")
        for document in documents:
            call.event(document)
        call.delta("fine")
        call.chunk(b"")

    monkeypatch.setitem(BEHAVIOURS, "odd", odd)
    engine.behaviour = "odd"
    answer = ask(home, "demo", [], lambda text: None)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("fine", None, None)


def test_without_a_gateway_it_says_what_to_do(tmp_path: Path, engine: Engine) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up(engine.url)
        engine.close()
        with pytest.raises(StokerError) as caught:
            ask(scribe.home, "demo", [], lambda text: None)
    assert caught.value.code == "SERVER_DOWN"
    assert "stoker up" in caught.value.remedy
    engine.__post_init__()  # so that the fixture has one to close


@pytest.mark.parametrize("behaviour", ["silence", "stall", "drip"])
def test_stopping_closes_the_connection_wherever_it_stands(home: Home, engine: Engine, behaviour: str) -> None:
    engine.behaviour = behaviour
    progress = Progress()
    thread = threading.Thread(target=Client(home, "ask").ask, args=(BODY, progress))
    thread.start()
    begun = behaviour == "silence"
    wait_for(lambda: engine.seen["active"] == 1 and (begun or bool(progress.pieces)), "an answer under way")
    progress.stop()
    thread.join(20)
    assert not thread.is_alive()
    wait_for(lambda: engine.seen["abandoned"] == 1, "the engine to see that nobody listens")
    answer = progress.answer()
    assert progress.stopped
    assert (answer.ttft_us is None) == (behaviour == "silence")
    assert answer.text == "".join(progress.pieces)


def test_what_is_stopped_before_it_began_asks_nobody(home: Home, engine: Engine) -> None:
    progress = Progress()
    progress.stop()
    assert Client(home, "ask").ask(BODY, progress).text == ""
    assert engine.calls == []


class TestKeys:
    """The gateway here knows a key only after a while, or no longer."""

    @pytest.fixture
    def known(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """What the gateway says to a key: the code of a refusal; it answers those that are not in here."""
        known: dict[str, str] = {}

        async def strict(engine: Engine, call: Call) -> None:
            code = known.get(call.headers["authorization"].removeprefix("Bearer "), known.get("", ""))
            await (saying(401, {"code": code})(engine, call) if code else BEHAVIOURS[""](engine, call))

        monkeypatch.setitem(BEHAVIOURS, "strict", strict)
        engine.behaviour = "strict"
        return known

    def test_a_revoked_key_is_replaced_once(self, home: Home, engine: Engine, known: dict[str, str]) -> None:
        old = ask_key(home)
        known[old] = "AUTH_REVOKED_TOKEN"
        assert ask(home, "demo", [], lambda text: None).text
        assert ask_key(home) != old
        assert len(keys(home)) == 2
        known[""] = "AUTH_REVOKED_TOKEN"
        with pytest.raises(StokerError, match="AUTH_REVOKED_TOKEN"):
            ask(home, "demo", [], lambda text: None)
        assert len(keys(home)) == 3

    def test_a_new_key_is_given_time_to_become_known(self, home: Home, engine: Engine, known: dict[str, str]) -> None:
        known[""] = "AUTH_INVALID_TOKEN"
        client = Client(home, "playground")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(client.ask(BODY, Progress()).text)) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(engine.calls) >= 6, "several tries")
        known.clear()
        for thread in threads:
            thread.join(20)
        assert answers == ["".join(WORDS)] * 4
        assert keys(home) == ["stoker playground"], "four that ask at once make one key"

    def test_a_file_that_holds_no_key_is_written_anew(self, home: Home, known: dict[str, str]) -> None:
        home.keys.mkdir(exist_ok=True)
        for bad in (b"", b"\xff\xfe"):
            (home.keys / "ask.key").write_bytes(bad)
            assert ask(home, "demo", [], lambda text: None).text
            assert (home.keys / "ask.key").read_bytes().startswith(b"stk_")
