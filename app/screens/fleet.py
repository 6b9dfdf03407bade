"""Fleet: every deployment in a table, and below it the one under the cursor: its instances, or why it failed."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from app.domain.budget import price_there
from app.domain.facts import Deployment, Instance
from app.domain.fix import Fix
from app.domain.fleet import Fleet
from app.domain.money import round_amount
from app.feed import Rate, Traffic, traffic
from app.machines import MachineReader, Machines
from app.render import deployment as render
from app.render.cells import Line as RenderLine
from app.render.checks import check_lines
from app.render.deployment import Document
from app.render.detail import words_of
from app.render.fixes import fix_lines
from app.render.states import instance_cell
from app.render.words import UNKNOWN, ago, latency, span
from app.screens import bundling
from app.screens.base import ConsoleScreen, bindings
from app.screens.gpus import summary_lines
from app.screens.quick import launch_bundled
from app.settings import Home
from widgets.chrome import Rule
from widgets.columns import Column
from widgets.lines import Lines
from widgets.prompt import CommandLine
from widgets.spans import Line, Span
from widgets.table import LineTable

if TYPE_CHECKING:
    from app.launch.mend import KnownFixes

WIDE = 100
"""From this width on every column has a place of its own; below, model, engine and backend share one."""

_NAME = Column("name", "NAME", minimum=8, maximum=24, priority=9)
_STATUS = Column("status", "STATUS", minimum=20, maximum=26, priority=8)
_READY = Column("ready", "READY", 5, right=True, priority=7)
_WIDE = (
    _NAME,
    _STATUS,
    _READY,
    Column("model", "MODEL", minimum=12, priority=6),
    Column("engine", "ENGINE", 9, priority=3),
    Column("on", "ON", minimum=7, maximum=12, priority=2),
    Column("rate", "REQ/S", 6, right=True, priority=5),
    Column("ttft", "TTFT", 7, right=True, priority=4),
)
_NARROW = (_NAME, _STATUS, _READY, Column("model", "MODEL", minimum=16, priority=6))
_SORTS = ("name", "status", "ready", "model", "rate", "ttft")
_FIRST_CHECKS = ("cpu", "gpu", "llama.cpp", "model")
_EXAMINE_EVERY_S = 5.0
"""To ask a GPU's driver may take it out of its sleep."""

_FIXES_SHOWN = 4

Row = tuple[Document, Deployment, Rate]


@dataclass(frozen=True, slots=True)
class Facts:
    """The traffic, the GPUs, and what would mend the deployment that was selected when it was read."""

    traffic: Traffic
    machines: Machines
    selected: str | None
    fixes: Sequence[Fix]


class FleetScreen(ConsoleScreen):
    """Screen 1."""

    NAME = "fleet"
    TAB = "1"
    BINDINGS: ClassVar[list[BindingType]] = bindings("fleet")
    DEFAULT_CSS = """
    FleetScreen #detail { height: auto; max-height: 50%; }
    FleetScreen #welcome { height: 1fr; display: none; }
    FleetScreen.-empty #welcome { display: block; }
    FleetScreen.-empty LineTable, FleetScreen.-empty #detail, FleetScreen.-empty #line { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._traffic = Traffic()
        self._known: KnownFixes | None = None
        self._fixes: dict[str | None, Sequence[Fix]] = {}
        self._reader, self._machines = MachineReader(), Machines()
        self._fleet: Fleet | None = None
        self._filter = ""
        self._sort, self._reverse = "name", False
        self._followed: str | None = None
        self._examination: tuple[float, list[RenderLine]] = (-_EXAMINE_EVERY_S, [])

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield LineTable(_WIDE, glyphs=glyphs, id="table")
        yield Lines(glyphs=glyphs, id="welcome")
        yield Rule(glyphs=glyphs, id="line")
        yield Lines(glyphs=glyphs, id="detail")

    def on_resize(self) -> None:
        if self._fleet is not None:
            self._draw()

    def read(self, home: Home, fleet: Fleet | None) -> Any:
        if fleet is None or not fleet.deployments:
            return self._examined(home)
        selected = next((d for d in fleet.deployments if d.name == self.console.selected), None)
        fixes = [] if selected is None or selected.failed is None else self._fixes_of(home, selected)
        return Facts(traffic(home, fleet.now), self._reader.read(home, fleet.now), self.console.selected, fixes)

    def _fixes_of(self, home: Home, deployment: Deployment) -> list[Fix]:
        from app.launch.mend import KnownFixes  # with the estimator behind it, not for the first frame

        self._known = self._known or KnownFixes(home)
        return self._known.of(deployment)

    def _examined(self, home: Home) -> list[RenderLine]:
        from app.launch.doctor import examine  # not for the first frame of those who have deployments

        at, lines = self._examination
        if time.monotonic() - at >= _EXAMINE_EVERY_S:
            lines = check_lines([c for c in examine(home) if c.name in _FIRST_CHECKS or c.result != "pass"])
            self._examination = time.monotonic(), lines
        return lines

    def show(self, fleet: Fleet | None, facts: Any) -> None:
        self._fleet = fleet
        empty = fleet is None or not fleet.deployments
        self.set_class(empty, "-empty")
        if empty:
            if self.query_one(LineTable).has_focus:
                self.set_focus(None)  # a table without rows would swallow the key that launches
            self._welcome(facts)
            return
        if self.focused is None:
            self.set_focus(self.query_one(LineTable))  # at once: later it could take the focus from a line being typed
        self._traffic, self._machines = facts.traffic, facts.machines
        self._fixes = {facts.selected: facts.fixes}
        self._draw()

    def _welcome(self, checks: list[RenderLine] | None) -> None:
        lines: list[Line] = [
            (),
            [(" Nothing is launched yet.", "strong")],
            (),
            *(self.spans(line, 1) for line in checks or ()),
            (),
            [(" enter", "accent"), (" launches the bundled model   ", "plain"), ("?", "accent"), (" helps", "plain")],
        ]
        self.query_one("#welcome", Lines).set_lines(lines)

    def _draw(self) -> None:
        fleet = self._fleet
        if fleet is None:
            return
        table = self.query_one(LineTable)
        wide = self.size.width >= WIDE
        priced = wide and any(not fleet.specs[d.variant_id].price.free for d in fleet.deployments)
        cost = Column("cost", f"{self.console.currency}/H", 7, right=True, priority=4)
        table.set_columns((*_WIDE, cost) if priced else _WIDE if wide else _NARROW)
        table.set_sort(self._sort, self._reverse)
        documents = render.rows(fleet)
        rates = self._traffic.deployments
        self._rows = [
            (document, deployment, rates.get(deployment.id, Rate()))
            for document, deployment in zip(documents, fleet.deployments, strict=True)
            if self._filter.lower() in _searchable(document)
        ]
        self._rows.sort(key=_sort_key(self._sort), reverse=self._reverse)
        table.set_rows(
            (document["name"], self._cells(document, rate, wide, fleet.now)) for document, _, rate in self._rows
        )
        self._go_to_selected(table)
        self._draw_detail()

    def _go_to_selected(self, table: LineTable) -> None:
        """Put the cursor on what was selected elsewhere. A cursor that was just moved here is not put back."""
        selected = self.console.selected
        if selected == self._followed:
            return
        if selected is not None and not table.move_to(selected):
            self.console.selected = table.cursor_key
        self._followed = self.console.selected

    def _cost(self, name: str) -> str:
        """What a deployment costs an hour for being there; a dash where nothing has a price."""
        fleet = self._fleet
        deployment = next((d for d in fleet.deployments if d.name == name), None) if fleet else None
        if fleet is None or deployment is None:
            return UNKNOWN
        up = [i for i in deployment.instances if i.attempt is not None and i.attempt.ended_at is None and i.ready_at]
        prices = [price_there(i, fleet.specs[i.variant_id].price) for i in up]
        if all(price.free for price in (fleet.specs[deployment.variant_id].price, *prices)):
            return UNKNOWN
        if fleet.specs[deployment.variant_id].mode == "flex":
            return "by use"
        return round_amount(sum(price.by_idle_hour for price in prices))

    def _cells(self, document: Document, rate: Rate, wide: bool, now: int) -> Line:
        status = render.headline(document, now)
        head: list[Span] = [(document["name"], "plain"), (status.text, status.tone), (render.ready(document), "plain")]
        model, engine, backend = (document[key] for key in ("model", "engine", "backend"))
        requests = f"{rate.requests:.1f}" if rate.requests else UNKNOWN
        ttft = UNKNOWN if rate.ttft_us is None else latency(rate.ttft_us)
        rest = (
            (model, engine, backend, requests, ttft, self._cost(document["name"]))
            if wide
            else (f"{model} {engine} {backend}",)
        )
        return self.line(*head, *((text, "plain") for text in rest))

    def _draw_detail(self) -> None:
        row = self._selected()
        lines: list[Line] = []
        if row is not None and self._fleet is not None:
            self.show_fetch(self._fleet, row[1])
            lines = self._detail(*row[:2], self._fleet)
        lines += summary_lines(self, self._machines)
        self.query_one("#detail", Lines).set_lines(lines)

    def _detail(self, document: Document, deployment: Deployment, fleet: Fleet) -> list[Line]:
        up = f"up {span(fleet.now - ready)}" if (ready := _up_since(deployment)) else ""
        failed = deployment.failed
        if failed is not None:
            up = f"{failed.name} failed {ago(fleet.now, failed.failed_at)}, attempt {_attempt(failed)}"
        about = " · ".join(filter(None, (up, document["url"] or "no gateway yet", f'model "{document["name"]}"')))
        lines: list[Line] = [self.line((f" {document['name']}", "strong"), (f" · {about}", "dim"))]
        if document["failure"] is not None:
            fixes = self._fixes.get(deployment.name, ())
            card = render.failure_lines(document["failure"], fleet.now, remedy=not any(fix.mends for fix in fixes))
            lines += [self.spans(line, 1) for line in (*card, *fix_lines(fixes, most=_FIXES_SHOWN))]
        if failed is not None and len(deployment.instances) == 1:
            return lines
        width = max((len(i.name) for i in deployment.instances), default=0)
        return lines + [self._instance(instance, width, fleet.now) for instance in deployment.instances]

    def _instance(self, instance: Instance, width: int, now: int) -> Line:
        tokens = self._traffic.instances.get(instance.id, Rate()).tokens
        flight = self._traffic.in_flight.get(instance.name)
        parts = (
            f"{flight[0]}/{flight[1]} in flight" if flight else "",
            f"{tokens:.0f} tok/s" if tokens else "",
            f"since {span(now - instance.since)}",
        )
        state = instance_cell(instance.state, instance.phase)
        return self.line(
            (f" {instance.name:<{width}}  ", "plain"),
            (state.text, state.tone),
            ("   " + " · ".join(filter(None, parts)), "dim"),
        )

    def _selected(self) -> Row | None:
        key = self.query_one(LineTable).cursor_key
        return next((row for row in self._rows if row[0]["name"] == key), None)

    @on(LineTable.RowHighlighted)
    def _highlighted(self, event: LineTable.RowHighlighted) -> None:
        self.console.selected = self._followed = event.key
        self.console.hurry()  # what would mend it is read for the selected one only
        self._draw_detail()

    @on(LineTable.RowSelected)
    def _opened(self, event: LineTable.RowSelected) -> None:
        self.console.go("deployment", event.key)

    @on(LineTable.HeaderSelected)
    def _header(self, event: LineTable.HeaderSelected) -> None:
        if event.column in _SORTS:
            self._reverse = not self._reverse if event.column == self._sort else False
            self._sort = event.column
            self._draw()

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

    def do_open(self, argument: str) -> None:
        """Open the deployment; where there is none yet, launch the bundled model."""
        name = argument or self.query_one(LineTable).cursor_key
        if self.has_class("-empty"):
            launch_bundled(self.console)
        elif name:
            self.console.go("deployment", name)

    def do_fix(self, argument: str) -> None:
        """Choose what is to mend it."""
        from app.screens.fixing import choose_fix

        row = next((row for row in self._rows if row[0]["name"] == argument), self._selected())
        if row is not None:
            choose_fix(self, row[1], self._fixes.get(row[1].name, ()), argument)

    def do_bundle(self, _argument: str) -> None:
        """Make an archive for whoever looks into it."""
        if (row := self._selected()) is not None:
            bundling.make(self, row[1].name)

    def do_play(self, argument: str) -> None:
        """Talk to it."""
        self.console.do_play(argument or self.query_one(LineTable).cursor_key or "")

    def in_question(self) -> list[str]:
        row = self._selected()
        return [] if row is None else words_of(row[0], row[1].instances)

    def do_new(self, _argument: str) -> None:
        self.console.go("launch")

    def do_filter(self, _argument: str) -> None:
        self.query_one(CommandLine).ask("/", self._filter)

    def do_sort(self, _argument: str) -> None:
        self._sort = _SORTS[(_SORTS.index(self._sort) + 1) % len(_SORTS)]
        self._reverse = self._sort in ("rate", "ttft")
        self._draw()
        self.say(f"sorted by {self._sort}")

    def do_copy(self, _argument: str) -> None:
        row = self._selected()
        if row is not None and row[0]["url"]:
            self.console.copy(row[0]["url"], "URL")


def _searchable(document: Mapping[str, Any]) -> str:
    return " ".join(str(document[key]) for key in ("name", "status", "model", "engine", "backend")).lower()


def _sort_key(column: str) -> Callable[[Row], tuple[Any, ...]]:
    def key(row: Row) -> tuple[Any, ...]:
        document, _, rate = row
        values = {
            "ready": document["replicas"]["ready"],
            "rate": rate.requests,
            "ttft": rate.ttft_us or 0,
        }
        return values.get(column, document.get(column)), document["name"]

    return key


def _attempt(instance: Instance) -> str:
    return UNKNOWN if instance.attempt is None else str(instance.attempt.number)


def _up_since(deployment: Deployment) -> int | None:
    return min((i.ready_at for i in deployment.instances if i.ready_at is not None), default=None)
