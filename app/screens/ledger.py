"""Ledger: what is left and for how long, what was spent by day and by whom, and every entry of the account."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from app.boot import instant
from app.domain.bill import Standing
from app.domain.failures import StokerError
from app.domain.fleet import Fleet
from app.domain.money import DAY_US, format_amount, parse_amount
from app.render.ledger import entry_cells, idle_line, lingering_line, summary_line
from app.render.words import clock
from app.screens.base import ConsoleScreen, bindings
from app.screens.entry import explain_entry
from app.screens.spending import chart
from app.settings import Home
from app.store import bill, read
from app.store.bill import Filter
from widgets.asking import FormDialog
from widgets.chrome import Rule
from widgets.columns import Column
from widgets.form import Field
from widgets.lines import Lines
from widgets.spans import Line
from widgets.windowtable import WindowTable

if TYPE_CHECKING:
    from sqlmodel import Session

DAYS = 31
WASTE_SHOWN = 3
_ENTRIES = (
    Column("at", "TIME", 12, priority=9),
    Column("kind", "KIND", 10, priority=7),
    Column("deployment", "FOR", minimum=8, maximum=30, priority=8),
    Column("quantity", "QUANTITY × PRICE", minimum=14, maximum=30, priority=4),
    Column("amount", "AMOUNT", 12, right=True, priority=10),
    Column("balance", "BALANCE", 14, right=True, priority=5),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The account, what was spent by day, who costs without being used or although it was stopped, how many entries
    there are, and some of them from place `start` on, the newest being 0. `trouble` is what the last check of the
    ledger found."""

    standing: Standing = field(default_factory=Standing)
    spending: Sequence[Mapping[str, Any]] = ()
    idle: Sequence[Mapping[str, Any]] = ()
    lingering: Sequence[Mapping[str, Any]] = ()
    total: int = 0
    start: int = 0
    rows: Sequence[Mapping[str, Any]] = ()
    wanted: Filter = field(default_factory=Filter)
    trouble: str = ""
    now: int = 0


class LedgerScreen(ConsoleScreen):
    """Screen 5."""

    NAME = "ledger"
    TAB = "5"
    BINDINGS: ClassVar[list[BindingType]] = bindings("ledger")
    DEFAULT_CSS = """
    LedgerScreen #summary, LedgerScreen #chart, LedgerScreen #waste { height: auto; }
    LedgerScreen #entries { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._facts = Facts()
        self._day: int | None = None
        self._wanted = Filter()
        self._window = (0, 200)
        self._numbers: tuple[Filter, int, array[int]] | None = None

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield Lines(glyphs=glyphs, id="summary")
        yield Lines(glyphs=glyphs, id="waste")
        yield Lines(glyphs=glyphs, id="chart")
        yield Rule(glyphs=glyphs)
        yield WindowTable(_ENTRIES, glyphs=glyphs, id="entries")

    @property
    def table(self) -> WindowTable:
        """The table of entries."""
        return self.query_one(WindowTable)

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()

    # --- What there is. ---

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        if fleet is None:
            return Facts()
        wanted, (start, behind) = self._wanted, self._window
        with read.reading(home.store) as connection:
            total = bill.count(connection)
            if wanted.everything:
                numbers: Sequence[int] = range(max(0, total - start), max(0, total - behind), -1)
            else:
                found = self._matching(connection, wanted, total)
                numbers, total = found[start:behind], len(found)
            check = read.setting(connection, "ledger_verified") or {}
            return Facts(
                bill.standing(connection, instant()),
                [dict(row) for row in bill.spending(connection, fleet.now // DAY_US - DAYS)],
                [dict(row) for row in bill.idle(connection, fleet.now)],
                [dict(row) for row in bill.lingering(connection, fleet.now)],
                total,
                start,
                [dict(row) for row in bill.entries(connection, numbers)],
                wanted,
                "" if check.get("ok", True) else f"entry {check.get('first_bad')}: {check.get('reason')}",
                fleet.now,
            )

    def _matching(self, connection: Any, wanted: Filter, total: int) -> "array[int]":
        """The numbers of what matches, found anew only when there are more entries."""
        if self._numbers is None or self._numbers[:2] != (wanted, total):
            self._numbers = wanted, total, bill.matching(connection, wanted)
        return self._numbers[2]

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        if facts.wanted != self._wanted:
            return  # asked for before something else was wanted
        before, self._facts = self._facts, facts
        added = facts.total - before.total if before.wanted == facts.wanted and before.total else 0
        self.table.set_total(facts.total, max(0, added))
        cells = [(str(row["id"]), self._cells(row, facts.now)) for row in facts.rows]
        self.table.set_window(facts.start, cells)
        self._draw()
        self._want()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        facts, currency = self._facts, self.console.currency
        lines = [self.spans(summary_line(facts.standing, currency), 1)]
        if facts.trouble:
            lines.append(self.line((f" The ledger is not what was written: {facts.trouble}", "bad")))
        self.query_one("#summary", Lines).set_lines(lines)
        waste = [lingering_line(row, facts.now) for row in facts.lingering]
        waste += [idle_line(row, facts.now) for row in facts.idle]
        self.query_one("#waste", Lines).set_lines(self.spans(line, 1) for line in waste[:WASTE_SHOWN])
        days = 7 if self.size.height < 30 else 14
        bars: list[Line] = [()]
        if facts.spending:
            shown = chart(facts.spending, facts.now // DAY_US, days, self._day, self.size.width, self.console.glyphs)
            bars = [(), *shown]
        elif not facts.total:
            bars = [
                (),
                [(" Nothing was put in yet; t does that. Where nothing has a price, nothing needs to be.", "dim")],
            ]
        self.query_one("#chart", Lines).set_lines(bars)

    def _cells(self, row: Mapping[str, Any], now: int) -> Line:
        return self.line((clock(row["at"], now), "dim"), *((cell.text, cell.tone) for cell in entry_cells(row)))

    @on(WindowTable.Wanted)
    def _moved(self) -> None:
        self._want()

    def _want(self) -> None:
        first, behind = self.table.wanted
        if first < self._window[0] or behind > self._window[1]:
            # More than is in view, so that going on does not ask again at once.
            self._window = max(0, first - 200), behind + 200
            self.console.hurry()

    # --- What can be done. ---

    def do_topup(self, argument: str) -> None:
        """Put money in."""

        def check(values: Mapping[str, str]) -> tuple[str, str] | None:
            try:
                return None if parse_amount(values["amount"].strip()) else ("amount", "Nothing is no amount to put in.")
            except ValueError as error:
                return "amount", str(error)

        def put(values: Mapping[str, str] | None) -> None:
            if values is None:
                return
            amount = parse_amount(values["amount"].strip())

            def change(session: "Session") -> bool:
                from app.reach import actor
                from app.store.ledger import Book, top_up
                from app.store.wishes import now_us

                return top_up(Book(session, now_us()), amount, actor())

            self.console.wish(f"put in {format_amount(amount)} {self.console.currency}", change)

        fields = [Field("amount", f"amount in {self.console.currency}", value=argument)]
        dialog = FormDialog([("Put money in", "strong")], fields, yes="put in", check=check, glyphs=self.console.glyphs)
        self.console.push_screen(dialog, put)

    @on(WindowTable.RowSelected)
    def _opened(self, event: WindowTable.RowSelected) -> None:
        self.do_entry(event.key)

    def do_entry(self, argument: str) -> None:
        """Show everything about the entry under the cursor."""
        key = argument or self.table.cursor_key
        if key is not None and key.isdecimal():
            explain_entry(self, int(key), self.console.currency)

    def do_older(self, _argument: str) -> None:
        """Mark the day before."""
        today = self._facts.now // DAY_US
        self._mark(max(today - DAYS + 1, today if self._day is None else self._day - 1))

    def do_newer(self, _argument: str) -> None:
        """Mark the day after."""
        today = self._facts.now // DAY_US
        self._mark(min(today, today if self._day is None else self._day + 1))

    def _mark(self, day: int) -> None:
        self._day = day
        if self._wanted.since is not None:
            self._filter(day)
        self._draw()

    def do_day(self, _argument: str) -> None:
        """List only the marked day; again for all of them."""
        self._filter(None if self._wanted.since is not None else self._day or self._facts.now // DAY_US)

    def _filter(self, day: int | None) -> None:
        if day is None:
            self._wanted = Filter()
            self.say("all entries")
        else:
            self._day = day
            self._wanted = Filter(since=day * DAY_US, until=(day + 1) * DAY_US)
            self.say(f"only {datetime.fromtimestamp(day * 86_400, UTC):%A, %B %d}, by UTC; d for all", seconds=None)
        self._window = (0, 200)
        self.table.restart()
        self.console.hurry()

    def do_export(self, _argument: str) -> None:
        """Write all entries into a file."""
        path = self.console.home.state / "ledger.csv"

        def write() -> None:
            from app.export import export_csv

            try:
                count = export_csv(self.console.home, path, self.console.currency)
            except StokerError as error:
                self.console.call_from_thread(self.say_error, error)
                return
            self.console.call_from_thread(self.say, f"{count:,} entries in {path}", "good")

        self.run_worker(write, thread=True, exit_on_error=False, exclusive=True, group="export")
