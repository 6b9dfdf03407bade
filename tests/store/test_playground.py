"""The playground's history as it is written and read back."""

from pathlib import Path

import pytest

from app.domain.chat import Answer, ChatSettings, Target, Turn
from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.store import playground
from app.store.read import reading
from app.store.write import Store

WARM = ChatSettings(temperature=0.7, max_tokens=64, seed=3, system="Be brief.")
ANSWERED = Turn("Who?", Answer("I am.", "req-1", ttft_us=5_000, took_us=90_000, tokens_in=3, tokens_out=4))
REFUSED = Turn("Who?", Answer(request_id="req-2"), "NO_CAPACITY", "Full.", "Wait.")


def ask(store: Store, chat_id: str, place: int, target: Target, turn: Turn, at: int = 100) -> None:
    with store.write() as session:
        playground.record(session, chat_id, WARM, place, target, at, turn)


def test_what_was_said_comes_back_by_column(path: Path, store: Store) -> None:
    chat_id = ulid()
    ask(store, chat_id, 2, Target("coder"), REFUSED)
    ask(store, chat_id, 1, Target("demo", 3), ANSWERED)
    ask(store, chat_id, 1, Target("demo", 3), Turn("And?", Answer("More, bu"), stopped=True), at=200)
    with reading(path) as connection:
        kept = playground.chat(connection, chat_id)
        (listed,) = playground.chats(connection)
    assert kept.settings == WARM
    assert kept.columns == (
        (Target("demo", 3), (ANSWERED, Turn("And?", Answer("More, bu"), stopped=True))),
        (Target("coder"), (REFUSED,)),
    )
    assert listed == playground.ChatFacts(chat_id, "Who?", ("demo@3", "coder"), 200)


def test_columns_that_came_and_went_do_not_mix(path: Path, store: Store) -> None:
    chat_id = ulid()
    ask(store, chat_id, 1, Target("demo"), ANSWERED, at=100)
    ask(store, chat_id, 2, Target("coder"), ANSWERED, at=100)
    for place, name in ((1, "other"), (2, "coder"), (3, "third"), (4, "fourth")):
        ask(store, chat_id, place, Target(name), REFUSED, at=200)
    with reading(path) as connection:
        kept = playground.chat(connection, chat_id)
        assert playground.chats(connection)[0].models == ("demo", "other", "coder", "third", "fourth")
    assert [(target.name, len(turns)) for target, turns in kept.columns] == [
        ("other", 1),
        ("coder", 2),
        ("third", 1),
        ("fourth", 1),
    ]


def test_the_last_conversation_comes_first(path: Path, store: Store) -> None:
    old, new = ulid(), ulid()
    ask(store, new, 1, Target("demo"), Turn("new?"), at=100)
    ask(store, old, 1, Target("demo"), Turn("old?"), at=90)
    ask(store, old, 1, Target("demo"), Turn("new?"), at=300)
    with reading(path) as connection:
        assert [chat.id for chat in playground.chats(connection)] == [old, new]
        assert [chat.id for chat in playground.chats(connection, limit=1)] == [old]
        assert playground.questions(connection) == ["old?", "new?"]


def test_a_conversation_is_forgotten_with_all_its_turns(path: Path, store: Store) -> None:
    chat_id, other = ulid(), ulid()
    for each in (chat_id, other):
        ask(store, each, 1, Target("demo"), ANSWERED)
    for _ in range(2):
        with store.write() as session:
            playground.forget(session, chat_id)
    with reading(path) as connection:
        assert [chat.id for chat in playground.chats(connection)] == [other]
        assert connection.execute("SELECT count(*) FROM chat_turns").fetchone()[0] == 1
        with pytest.raises(StokerError, match="NOT_FOUND"):
            playground.chat(connection, chat_id)


def test_text_from_outside_is_cleaned_at_the_door(path: Path, store: Store) -> None:
    chat_id = ulid()
    hostile = "\x1b]0;owned\x07red\x1b[31m\x00\ud800 end"
    ask(store, chat_id, 1, Target("demo"), Turn(hostile, Answer(hostile, hostile), message=hostile))
    ask(store, chat_id, 1, Target("demo"), Turn("long", Answer("x" * 2_000_000)))
    with reading(path) as connection:
        ((_, (turn, long)),) = playground.chat(connection, chat_id).columns
    for text in (turn.question, turn.answer.text, turn.message, turn.answer.request_id):
        assert text == "red\ufffd end"
    assert len(long.answer.text) == playground.TEXT_LIMIT
