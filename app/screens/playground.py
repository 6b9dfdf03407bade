"""Playground: one question to up to four deployments or variants, their answers side by side as they stream in."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from app.actions import shown_key
from app.domain.chat import COLUMNS, Target, Turn
from app.domain.fleet import Fleet
from app.domain.ids import ulid
from app.domain.text import clean_text
from app.render.keys import curl_request
from app.render.targets import Candidate, candidates, first_choice
from app.screens import past
from app.screens.base import ConsoleScreen, bindings
from app.screens.board import WIDE, TalkBoard
from app.screens.drawer import SettingsDrawer
from app.screens.explain import explain_request
from app.screens.past import PastChats
from app.screens.question import QuestionEntry
from app.settings import Home
from app.store import read
from app.store.playground import TEXT_LIMIT, ChatFacts, Kept, chats, questions
from app.talk import Client
from widgets.asking import PickDialog
from widgets.chrome import KeyLine, Rule
from widgets.columns import Column
from widgets.lines import Lines

WHO = "playground"
"""Whose key it uses."""

_PICK = (
    Column("model", "NAME", minimum=12, maximum=30),
    Column("state", "STATUS", minimum=16, maximum=34),
    Column("what", "MODEL", minimum=12),
)
_TYPING = (("enter", "send"), ("up", "earlier"), ("esc", "keys"))


@dataclass(frozen=True, slots=True)
class Facts:
    """What is read for the screen: who can be asked, past conversations if they are shown, earlier questions once."""

    candidates: Sequence[Candidate] = ()
    chats: Sequence[ChatFacts] | None = None
    questions: Sequence[str] | None = None


class PlaygroundScreen(ConsoleScreen):
    """Screen 4."""

    NAME = "play"
    TAB = "4"
    BINDINGS: ClassVar[list[BindingType]] = bindings("play")
    DEFAULT_CSS = """
    PlaygroundScreen #talk { height: 1fr; }
    PlaygroundScreen #history { width: 46; margin-right: 1; display: none; }
    PlaygroundScreen #nobody { height: 1fr; display: none; }
    PlaygroundScreen #settings { display: none; margin-left: 1; }
    PlaygroundScreen #ask { height: 1; }
    PlaygroundScreen #ask > Lines { width: 3; }
    PlaygroundScreen.-past #history, PlaygroundScreen.-set #settings { display: block; }
    PlaygroundScreen.-empty #nobody { display: block; }
    PlaygroundScreen.-empty #talk { display: none; }
    PlaygroundScreen.-narrow.-past TalkBoard { display: none; }
    PlaygroundScreen.-narrow.-past #history { width: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._candidates: Sequence[Candidate] = ()
        self._chat_id = ulid()
        self._asked_at = 0
        self._wanted: str | None = None
        self._recalls = False
        self._known = False
        self._url: str | None = None

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield Lines([(), [(" Nothing is launched yet: there is nobody to ask.", "plain")]], glyphs=glyphs, id="nobody")
        with Horizontal(id="talk"):
            yield PastChats(glyphs=glyphs, id="history")
            yield TalkBoard(
                glyphs=glyphs, slow=self.console.options.slow, line=self.line, currency=self.console.currency
            )
        yield Rule(glyphs=glyphs)
        yield SettingsDrawer(glyphs=glyphs, id="settings")
        with Horizontal(id="ask"):
            yield Lines([[(f" {glyphs.cursor}", "accent")]], glyphs=glyphs)
            yield QuestionEntry("ask something")

    @property
    def board(self) -> TalkBoard:
        """The columns."""
        return self.query_one(TalkBoard)

    @property
    def drawer(self) -> SettingsDrawer:
        """The settings."""
        return self.query_one(SettingsDrawer)

    @property
    def entry(self) -> QuestionEntry:
        """The line for the question."""
        return self.query_one(QuestionEntry)

    # --- What there is. ---

    def on_mount(self) -> None:
        super().on_mount()
        self._client = Client(self.console.home, WHO)
        self.entry.focus()

    def on_resize(self) -> None:
        self.set_class(self.size.width < WIDE, "-narrow")

    def on_descendant_focus(self) -> None:
        """The keys at the bottom are those that do something while a question is typed, or while none is."""
        own = [(shown_key(a.keys[0]), a.label) for a in self.actions if a.footer and a.keys]
        typed = [key for key in own if key[0].startswith("ctrl")]
        self.query_one(KeyLine).set_keys([*_TYPING, *typed] if self.entry.has_focus else own)

    def about(self, deployment: str) -> None:
        self._wanted = deployment

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        if fleet is None:
            return Facts()
        ids = {d.variant_id for d in fleet.deployments} | {i.variant_id for d in fleet.deployments for i in d.instances}
        with read.reading(home.store) as connection:
            return Facts(
                candidates(fleet, read.variant_numbers(connection, sorted(ids))),
                chats(connection) if self.has_class("-past") else None,
                None if self._recalls else questions(connection),
            )

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        self._known = True
        self._candidates, self._url = facts.candidates, fleet.endpoint if fleet else None
        if facts.questions is not None:
            self._recalls = True
            self.entry.set_earlier(facts.questions)
        if facts.chats is not None:
            self.query_one(PastChats).show(facts.chats, fleet.now if fleet else 0)
        self._choose()
        self.set_class(not self.board.columns, "-empty")
        self.board.show(facts.candidates)

    def _choose(self) -> None:
        """Begin with the deployment that somebody wants to talk to, else with the selected one."""
        wanted, self._wanted = self._wanted, None
        if wanted is not None and all(column.target.name != wanted for column in self.board.columns):
            self._begin([(Target(wanted), ())])
        elif not self.board.columns:
            target = first_choice(self._candidates, self.console.selected)
            if target is not None:
                self._begin([(target, ())])

    def _begin(self, columns: Sequence[tuple[Target, tuple[Turn, ...]]], chat_id: str = "") -> None:
        self._chat_id = chat_id or ulid()
        self.board.begin(columns)

    # --- Asking. ---

    @on(QuestionEntry.Asked)
    def _asked(self, event: QuestionEntry.Asked) -> None:
        if self.console.options.read_only:
            self.say("This console is read-only.", "look")
        elif self.board.answering:
            self.say("An answer is under way; ctrl+x stops it.", "look")
        elif self.board.columns:
            self.entry.accept(event.question)
            self._asked_at = time.time_ns() // 1_000
            self.board.ask(self._client, event.question, self.drawer.settings)
            self.board.focus_text()
        elif self._known:
            self.say("There is nobody to ask: launch something first.", "look")
        else:
            self.say("It is not known yet whom to ask; what is launched is being read.", "look")

    @on(TalkBoard.Said)
    def _said(self, event: TalkBoard.Said) -> None:
        past.keep(self, self._chat_id, self.drawer.settings, self._asked_at, event.column, event.turn)

    def do_ask(self, _argument: str) -> None:
        self.entry.focus()

    def do_halt(self, _argument: str) -> None:
        """Break off every answer that is under way."""
        self.board.stop()

    def do_back(self, argument: str) -> None:
        """Stop what is under way; else close what is open; else let go of the line; else go back."""
        if self.board.answering:
            self.board.stop()
        elif self.has_class("-set"):
            self.do_settings("")
        elif self.has_class("-past"):
            self.do_history("")
        elif self.entry.has_focus and self.board.columns:
            self.board.focus_text()
        else:
            self.console.do_back(argument)

    def do_new(self, _argument: str) -> None:
        """Begin a new conversation with the same ones."""
        self._begin([(column.target, ()) for column in self.board.columns])
        self.entry.focus()

    # --- Columns. ---

    def do_add(self, argument: str) -> None:
        """Ask another one as well."""
        if len(self.board.columns) >= COLUMNS:
            self.say(f"{COLUMNS} at once is the most.", "look")
        else:
            self._pick("Ask another one as well", self.board.add)

    def do_drop(self, _argument: str) -> None:
        """Ask the one here no longer; in the history, remove the conversation under the cursor."""
        table = self.query_one(PastChats)
        if table.has_focus:
            self._forget(table.cursor_key)
        elif len(self.board.columns) > 1:
            self.board.drop()
        else:
            self.say("It is the only one.", "dim")

    def do_next(self, _argument: str) -> None:
        self.board.move(1)

    def do_previous(self, _argument: str) -> None:
        self.board.move(-1)

    def _pick(self, title: str, then: Callable[[Target], None]) -> None:
        rows = [
            (c.target.model, self.line((c.target.model, "plain"), (c.state.text, c.state.tone), (c.what, "dim")))
            for c in self._candidates
        ]
        by_model = {c.target.model: c.target for c in self._candidates}
        dialog = PickDialog([(title, "strong")], _PICK, rows, glyphs=self.console.glyphs)
        self.app.push_screen(dialog, lambda model: then(by_model[model]) if model else None)

    # --- The drawer and the history. ---

    def do_settings(self, _argument: str) -> None:
        """Open the settings, or close them."""
        opened = not self.has_class("-set")
        self.set_class(opened, "-set")
        if opened:
            self.drawer.open()
        else:
            self.entry.focus()

    @on(SettingsDrawer.Submitted)
    def _set(self) -> None:
        self.do_settings("")

    @on(SettingsDrawer.Edited)
    def _edited(self, event: SettingsDrawer.Edited) -> None:
        self.say(event.trouble, "bad", None)

    def do_history(self, _argument: str) -> None:
        """Show past conversations, or hide them."""
        shown = not self.has_class("-past")
        self.set_class(shown, "-past")
        if shown:
            self.query_one(PastChats).focus()
            self.console.hurry()
        else:
            self.board.focus_text()

    @on(PastChats.RowSelected)
    def _chosen(self, event: PastChats.RowSelected) -> None:
        past.find(self, event.key, partial(self._reopen, event.key))

    def _forget(self, chat_id: str | None) -> None:
        if chat_id is not None and not self.console.options.read_only:
            body = ("What was asked and answered in it is removed from the history for good.",)
            self.console.confirm("Forget this conversation?", body, "forget", partial(past.forget, self, chat_id))

    def _reopen(self, chat_id: str, kept: Kept) -> None:
        self._begin(kept.columns, chat_id)
        self.drawer.fill(kept.settings)
        self.do_history("")

    # --- Taking something along. ---

    def do_copy(self, _argument: str) -> None:
        """Copy the last answer here."""
        turn = self._last
        if turn is not None and turn.answer.text:
            self.console.copy(clean_text(turn.answer.text, TEXT_LIMIT), "answer")

    def do_curl(self, _argument: str) -> None:
        """Copy the last request here as curl, the key left to the shell."""
        column = self.board.here
        if column is not None and column.turns:
            self.console.copy(curl_request(self._url, column.last_request(self.drawer.settings)), "request as curl")

    def do_request(self, _argument: str) -> None:
        """Show the steps of the last request here."""
        turn = self._last
        if turn is not None and turn.answer.request_id:
            explain_request(self, turn.answer.request_id)

    @property
    def _last(self) -> Turn | None:
        column = self.board.here
        return column.turns[-1] if column is not None and column.turns else None
