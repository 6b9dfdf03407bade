"""The history of the playground: a list of conversations, and how turns are kept and found again, in threads."""

from collections.abc import Callable, Sequence

from app.domain.chat import ChatSettings, Turn
from app.domain.failures import StokerError
from app.domain.text import safe
from app.reach import noting
from app.render.words import ago
from app.screens.base import ConsoleScreen
from app.screens.column import TalkColumn
from app.store import playground as store
from app.store import read
from widgets.columns import Column
from widgets.spans import Line
from widgets.table import LineTable
from widgets.theme import Glyphs

_COLUMNS = (Column("when", "ASKED", 8), Column("title", "FIRST QUESTION", minimum=12), Column("who", "WHO", 12))


class PastChats(LineTable):
    """Conversations, the last one asked first. A row's key is the conversation's id."""

    def __init__(self, *, glyphs: Glyphs, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(_COLUMNS, glyphs=glyphs, id=id)

    def show(self, chats: Sequence[store.ChatFacts], now: int) -> None:
        """Show these, as of `now` (UTC microseconds)."""

        def row(chat: store.ChatFacts) -> Line:
            return (ago(now, chat.asked_at), "dim"), (safe(chat.title), "plain"), (safe(" ".join(chat.models)), "dim")

        self.set_rows((chat.id, row(chat)) for chat in chats)


def keep(screen: ConsoleScreen, chat_id: str, settings: ChatSettings, at: int, column: TalkColumn, turn: Turn) -> None:
    """Keep a turn that `column` was asked for at `at`. What goes wrong is said on the screen: the talk goes on."""

    def work() -> None:
        with noting(screen.console.home) as session:
            store.record(session, chat_id, settings, column.place, column.target, at, turn)

    _in_thread(screen, work)


def forget(screen: ConsoleScreen, chat_id: str) -> None:
    """Remove a conversation for good."""

    def work() -> None:
        with noting(screen.console.home) as session:
            store.forget(session, chat_id)
        screen.console.hurry()

    _in_thread(screen, work)


def find(screen: ConsoleScreen, chat_id: str, then: Callable[[store.Kept], None]) -> None:
    """Read a conversation, and go on with it on the event loop."""

    def work() -> None:
        with read.reading(screen.console.home.store) as connection:
            kept = store.chat(connection, chat_id)
        screen.app.call_from_thread(then, kept)

    _in_thread(screen, work)


def _in_thread(screen: ConsoleScreen, work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            work()
        except StokerError as error:
            screen.app.call_from_thread(screen.say_error, error)

    screen.run_worker(run, thread=True, exit_on_error=False, group="history")
