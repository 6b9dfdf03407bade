"""Access: who may call the endpoint, what was refused lately, and the last requests with their steps."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from app.domain.fleet import Fleet
from app.render.access import key_row, refusal_lines, request_row, searchable
from app.render.cells import Line as RenderLine
from app.render.keys import document
from app.screens.base import ConsoleScreen, bindings
from app.screens.explain import explain_request
from app.screens.key_dialogs import ask_new_key, ask_revoke, ask_rotate
from app.settings import Home
from app.store import read
from widgets.chrome import Rule
from widgets.columns import Column
from widgets.lines import Lines
from widgets.prompt import CommandLine
from widgets.spans import Line
from widgets.table import LineTable

REQUESTS = 200
"""How many of the last requests are listed."""
_HOUR_US = 3_600_000_000
_COUNT_EVERY_S = 2.0
"""Counting an hour's refusals takes longer than anything else here, and nobody reads it four times a second."""

_KEYS = (
    Column("id", "KEY", 12, priority=9),
    Column("name", "NAME", minimum=10, priority=8),
    Column("scope", "FOR", minimum=8, maximum=30, priority=6),
    Column("state", "STATE", 8, priority=7),
    Column("expires", "EXPIRES", 8, priority=5),
    Column("used", "LAST USED", 9, priority=4),
)
_REQUESTS = (
    Column("at", "WHEN", 7, priority=9),
    Column("id", "REQUEST", minimum=10, maximum=26, priority=6),
    Column("key", "KEY", minimum=8, maximum=20, priority=5),
    Column("deployment", "DEPLOYMENT", minimum=10, maximum=24, priority=7),
    Column("status", "STATUS", minimum=24, maximum=28, priority=8),
    Column("ttft", "TTFT", 6, right=True, priority=4),
    Column("took", "TOOK", 6, right=True, priority=3),
    Column("in", "IN", 5, right=True, priority=2),
    Column("out", "OUT", 5, right=True, priority=1),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Documents of keys, those that work first; requests, the last one first; counts of what went wrong."""

    keys: Sequence[Mapping[str, Any]] = ()
    requests: Sequence[Mapping[str, Any]] = ()
    refusals: Sequence[Mapping[str, Any]] = ()
    now: int = 0


class AccessScreen(ConsoleScreen):
    """Screen 6."""

    NAME = "access"
    TAB = "6"
    BINDINGS: ClassVar[list[BindingType]] = bindings("access")
    DEFAULT_CSS = """
    AccessScreen #keys_table { height: auto; min-height: 1; max-height: 40%; }
    AccessScreen #refusals, AccessScreen #none { height: auto; }
    AccessScreen #requests { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._facts = Facts()
        self._counted: tuple[float, Sequence[Mapping[str, Any]]] = (0.0, ())
        self._filter = ""
        self._fleet: Fleet | None = None

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield LineTable(_KEYS, glyphs=glyphs, id="keys_table")
        yield Lines(glyphs=glyphs, id="none")
        yield Rule(glyphs=glyphs)
        yield Lines(glyphs=glyphs, id="refusals")
        yield Rule(glyphs=glyphs)
        yield LineTable(_REQUESTS, glyphs=glyphs, id="requests")

    @property
    def keys_table(self) -> LineTable:
        """The table of keys."""
        return self.query_one("#keys_table", LineTable)

    @property
    def requests_table(self) -> LineTable:
        """The table of requests."""
        return self.query_one("#requests", LineTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.keys_table.focus()

    # --- What there is. ---

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        if fleet is None:
            return Facts()
        with read.reading(home.store) as connection:
            names = {d.id: d.name for d in fleet.deployments}
            keys = [document(dict(row), names, fleet.now) for row in reversed(read.keys(connection))]
            requests = [dict(row) for row in read.latest_requests(connection, REQUESTS)]
            at, refusals = self._counted
            if time.monotonic() - at >= _COUNT_EVERY_S:
                refusals = [dict(row) for row in read.refusals(connection, fleet.now - _HOUR_US)]
                self._counted = time.monotonic(), refusals
        keys.sort(key=lambda key: key["state"] not in ("active", "expiring"))
        return Facts(keys, requests, refusals, fleet.now)

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        self._fleet, self._facts = fleet, facts
        self._draw()

    def _draw(self) -> None:
        facts = self._facts
        self.keys_table.set_rows((key["id"], self._cells(key_row(key, facts.now))) for key in facts.keys)
        none: list[Line] = [] if facts.keys else [[(" There is no key yet; n makes one.", "plain")]]
        self.query_one("#none", Lines).set_lines(none)
        self.query_one("#refusals", Lines).set_lines(
            self.spans(line, 1) for line in refusal_lines(facts.refusals, facts.now)
        )
        found = [row for row in facts.requests if self._filter.lower() in searchable(row)]
        self.requests_table.set_rows((row["id"], self._cells(request_row(row, facts.now))) for row in found)

    def _cells(self, cells: RenderLine) -> Line:
        return self.line(*((cell.text, cell.tone) for cell in cells))

    # --- What can be done. ---

    def do_new(self, _argument: str) -> None:
        """Make a key."""
        ask_new_key(self, self._url)

    def do_rotate(self, argument: str) -> None:
        """Replace the key under the cursor."""
        if (key := self._key(argument)) is not None:
            ask_rotate(self, key, self._url)

    def do_revoke(self, argument: str) -> None:
        """End the key under the cursor."""
        if (key := self._key(argument)) is not None:
            ask_revoke(self, key)

    @on(LineTable.RowSelected, "#requests")
    def _opened(self, event: LineTable.RowSelected) -> None:
        explain_request(self, event.key)

    def do_steps(self, argument: str) -> None:
        """Show what became of the request under the cursor."""
        request_id = argument or self.requests_table.cursor_key
        if request_id:
            explain_request(self, request_id)

    def do_copy(self, _argument: str) -> None:
        """Copy the id of the key or request under the cursor."""
        if self.keys_table.has_focus and self.keys_table.cursor_key:
            self.console.copy(self.keys_table.cursor_key, "id of the key")
        elif row := next((r for r in self._facts.requests if r["id"] == self.requests_table.cursor_key), None):
            self.console.copy(row["request_id"], "id of the request")

    def do_filter(self, _argument: str) -> None:
        """Show only requests that match."""
        self.query_one(CommandLine).ask("/", self._filter)

    @on(CommandLine.Typing)
    def _filtering(self, event: CommandLine.Typing) -> None:
        if event.prompt == "/":
            self._filter = event.text
            self._draw()

    @on(CommandLine.Cancelled)
    def _unfiltered(self, event: CommandLine.Cancelled) -> None:
        if event.prompt == "/":
            self._filter = ""
            self._draw()

    @property
    def _url(self) -> str | None:
        return self._fleet.endpoint if self._fleet else None

    def _key(self, argument: str) -> Mapping[str, Any] | None:
        wanted = argument.removeprefix("stk_") or self.keys_table.cursor_key
        found = next((key for key in self._facts.keys if key["id"] == wanted), None)
        if found is None:
            self.say("There is no such key." if argument else "There is no key yet.", "look")
        return found
