"""The playground's history: what was asked and answered, kept until somebody removes it.

Writing functions are called inside a `Store.write()` block; they import SQLModel only when called.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app.domain.chat import COLUMNS, Answer, ChatSettings, Target, Turn
from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.domain.text import clean_text

if TYPE_CHECKING:
    from sqlmodel import Session

TEXT_LIMIT = 1_000_000
"""Longest question and answer kept, in characters."""
_TITLE_LIMIT = 200


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """A conversation in the list: `title` is its first question, `models` who was asked, by column."""

    id: str
    title: str
    models: tuple[str, ...]
    asked_at: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as it was kept: who was asked last, by column, and what each one said."""

    settings: ChatSettings
    columns: tuple[tuple[Target, tuple[Turn, ...]], ...]


def chats(connection: sqlite3.Connection, limit: int = 200) -> list[ChatFacts]:
    """The latest conversations, the last one asked first."""
    rows = connection.execute(_CHATS, (limit, _TITLE_LIMIT)).fetchall()
    return [ChatFacts(r["id"], r["title"], tuple(json.loads(r["models"])), r["asked_at"]) for r in rows]


def chat(connection: sqlite3.Connection, chat_id: str) -> Kept:
    """One conversation. Raises NOT_FOUND."""
    row = connection.execute("SELECT settings FROM chats WHERE id = ?", (chat_id,)).fetchone()
    if row is None:
        raise StokerError("NOT_FOUND", "This conversation is no longer kept.", "Look at the others.")
    columns: dict[tuple[int, Target], list[Turn]] = {}
    asked: dict[tuple[int, Target], int] = {}
    for turn in connection.execute("SELECT * FROM chat_turns WHERE chat_id = ? ORDER BY id", (chat_id,)):
        column = turn["place"], Target(turn["deployment"], turn["variant"])
        columns.setdefault(column, []).append(_turn(turn))
        asked[column] = turn["asked_at"]
    # Columns may have come and gone; those that were asked last are the ones to go on with.
    latest = sorted(columns, key=lambda column: (-asked[column], column[0]))[:COLUMNS]
    kept = tuple((column[1], tuple(columns[column])) for column in sorted(latest, key=lambda column: column[0]))
    return Kept(ChatSettings.from_json(json.loads(row["settings"])), kept)


def questions(connection: sqlite3.Connection, limit: int = 100) -> list[str]:
    """The last questions that were asked, oldest first, each once."""
    rows = connection.execute(
        "SELECT question FROM chat_turns GROUP BY question ORDER BY max(id) DESC LIMIT ?", (limit,)
    ).fetchall()
    return [row["question"] for row in reversed(rows)]


def record(
    session: "Session", chat_id: str, settings: ChatSettings, place: int, target: Target, asked_at: int, turn: Turn
) -> None:
    """Keep one turn; the first of a conversation begins it. Text is cleaned here."""
    from app.store.tables import Chat, ChatTurn

    row = session.get(Chat, chat_id) or Chat(id=chat_id, settings="{}", created_at=asked_at, asked_at=asked_at)
    row.settings, row.asked_at = json.dumps(settings.to_json()), max(row.asked_at, asked_at)
    session.add(row)
    values: dict[str, Any] = asdict(turn.answer) | {name: getattr(turn, name) for name in _TURN}
    values["answer"] = values.pop("text")
    for name in ("question", "answer", "message", "remedy", "request_id"):
        values[name] = clean_text(values[name], TEXT_LIMIT)
    session.add(
        ChatTurn(
            id=ulid(),
            chat_id=chat_id,
            place=place,
            deployment=target.name,
            variant=target.variant,
            asked_at=asked_at,
            stopped=int(turn.stopped),
            **values,
        )
    )


def forget(session: "Session", chat_id: str) -> None:
    """Remove a conversation for good; one that is not there stays so."""
    from app.store.tables import Chat

    row = session.get(Chat, chat_id)
    if row is not None:
        session.delete(row)


# A conversation's columns are few, but it may have many turns: only its first question is read.
_CHATS = """
    SELECT c.id, c.asked_at,
        coalesce((SELECT substr(t.question, 1, ?2) FROM chat_turns t WHERE t.chat_id = c.id ORDER BY t.id LIMIT 1), '')
            AS title,
        (SELECT json_group_array(m.model) FROM (
            SELECT t.deployment || coalesce('@' || t.variant, '') AS model FROM chat_turns t
            WHERE t.chat_id = c.id GROUP BY t.place, model ORDER BY t.place, min(t.id)) m) AS models
    FROM chats c ORDER BY c.asked_at DESC, c.id DESC LIMIT ?1
"""


_TURN = ("question", "code", "message", "remedy")
_ANSWER = ("request_id", "ttft_us", "took_us", "tokens_in", "tokens_out")


def _turn(row: sqlite3.Row) -> Turn:
    answer = Answer(row["answer"], **{name: row[name] for name in _ANSWER})
    return Turn(answer=answer, stopped=bool(row["stopped"]), **{name: row[name] for name in _TURN})
