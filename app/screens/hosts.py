"""Hosts: every machine with its driver and GPUs, how loaded they are and who holds their memory; and what it has in
store and what it costs: engines and images, weights, room, offers."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from app.domain.engines import Preset
from app.domain.fleet import Fleet
from app.domain.gpus import HostFacts
from app.domain.hosts import LOCAL
from app.domain.offers import Offer, Wanted, match
from app.domain.stock import Stock
from app.launch.offers import known_offers
from app.machines import MachineReader, Machines
from app.render.cells import Cell
from app.render.cells import Line as RenderLine
from app.render.hosts import state_cell
from app.render.offers import offer_table
from app.render.stock import engine_lines, weight_lines
from app.render.words import brief
from app.screens.base import ConsoleScreen, bindings
from app.screens.gpus import host_lines
from app.settings import Home, load_presets, load_settings
from widgets.lines import Lines
from widgets.spans import Line

_OLD_US = 90_000_000
"""What was seen longer ago than this is said to be old: even a quiet host is noted down once a minute."""
_INDENT = 6


@dataclass(frozen=True, slots=True)
class Facts:
    """Hosts, the engines that are known, which of them are installed here as programs, and, while they are shown, the
    offers."""

    machines: Machines = field(default_factory=Machines)
    engines: Mapping[str, Preset] = field(default_factory=dict)
    installed: frozenset[str] = frozenset()
    offers: Sequence[Offer] = ()


class HostsScreen(ConsoleScreen):
    """Screen 7."""

    NAME = "hosts"
    TAB = "7"
    BINDINGS: ClassVar[list[BindingType]] = bindings("hosts")
    DEFAULT_CSS = """
    HostsScreen #about { height: 1; }
    HostsScreen #hosts { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader, self._facts, self._shown = MachineReader(stocks=True), Facts(), 0
        self._tabs: Sequence[tuple[str, Callable[[], Iterator[Line]]]] = (
            ("GPUs", partial(self._hosts, self._gpus)),
            ("engines", partial(self._hosts, self._engines)),
            ("weights", partial(self._hosts, self._weights)),
            ("offers", self._offers),
        )

    def body(self) -> Iterable[Widget]:
        yield Lines(glyphs=self.console.glyphs, id="about")
        yield Lines(glyphs=self.console.glyphs, focusable=True, id="hosts")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#hosts").focus()

    def on_resize(self) -> None:
        self._draw()

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        if fleet is None:
            return Facts()
        if not self._facts.engines:
            engines = load_presets(home)
            modules = {name: preset.module for name, preset in engines.items() if preset.module is not None}
            found = frozenset(name for name, module in modules.items() if importlib.util.find_spec(module) is not None)
            return Facts(self._reader.read(home, fleet.now), engines, found)
        offers = known_offers(home, load_settings(home)) if self._tabs[self._shown][1] == self._offers else ()
        return replace(self._facts, machines=self._reader.read(home, fleet.now), offers=offers)

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        self._facts = facts
        self._draw()

    # --- What can be done. ---

    def do_tab(self, _argument: str) -> None:
        """Show the next tab."""
        self._turn(1)

    def do_tab_before(self, _argument: str) -> None:
        """Show the tab before."""
        self._turn(-1)

    def _turn(self, by: int) -> None:
        self._shown = (self._shown + by) % len(self._tabs)
        self._draw()
        self.query_one("#hosts", Lines).scroll_home(animate=False)
        self.console.hurry()  # offers are read while they are shown only

    # --- What there is. ---

    def _draw(self) -> None:
        names = (Cell(f" {name} ", "accent" if n == self._shown else "dim") for n, (name, _) in enumerate(self._tabs))
        self.query_one("#about", Lines).set_lines([self.spans(tuple(names))])
        _, lines = self._tabs[self._shown]
        more = (self.line((text, "dim")) for text in _MORE)
        self.query_one("#hosts", Lines).set_lines((*lines(), (), *more))

    def _hosts(self, tell: Callable[[HostFacts], Iterable[Line]]) -> Iterator[Line]:
        """What `tell` says of each host, below its name and state."""
        hosts = self._facts.machines.hosts
        for n, facts in enumerate(hosts):
            if n:
                yield ()
            yield self._head(facts)
            yield from tell(facts)
        if not hosts:
            yield self.line((" No host was looked at yet: the server does, a moment after its start.", "dim"))

    def _gpus(self, facts: HostFacts) -> Iterator[Line]:
        if facts.look.detail:
            code = f"{facts.look.code} " if facts.look.code else ""
            yield self.line((f"      {code}", "bad"), (facts.look.detail, "plain"))
        yield from host_lines(self, self._facts.machines, facts)

    def _engines(self, facts: HostFacts) -> Iterator[Line]:
        installed = self._facts.installed if facts.name == LOCAL else frozenset()
        return self._stock(facts, lambda stock, now: engine_lines(stock, self._facts.engines, installed, now))

    def _weights(self, facts: HostFacts) -> Iterator[Line]:
        return self._stock(facts, weight_lines)

    def _offers(self) -> Iterator[Line]:
        """Where something could run and what it costs, the cheapest first; a GPU each where there are any."""
        anything = Wanted()
        ranked = match(self._facts.offers, anything)
        others = [offer for offer in self._facts.offers if offer not in ranked]
        if self._facts.offers:
            yield from (self.spans(line, 1) for line in offer_table(ranked, others, anything))

    def _stock(self, facts: HostFacts, tell: Callable[[Stock, int], list[RenderLine]]) -> Iterator[Line]:
        machines = self._facts.machines
        if (stock := machines.stocks.get(facts.name)) is None:
            yield self.line((" " * _INDENT + "not looked through yet", "dim"))
        else:
            yield from (self.spans(line, _INDENT) for line in tell(stock, machines.now))

    def _head(self, facts: HostFacts) -> Line:
        look, now = facts.look, self._facts.machines.now
        about = [
            f"driver {look.driver}" if look.driver else "",
            f"CUDA {look.cuda}" if look.cuda else "",
            f"since {brief(now - facts.since)}",
            f"seen {brief(now - look.at)} ago" if now - look.at > _OLD_US else "",
        ]
        text = " · ".join(filter(None, about))
        return self.spans((Cell(f"{facts.name}  ", "accent"), state_cell(look.state), Cell(f"  {text}", "dim")), 1)


_MORE = (
    " More hosts: stoker hosts add USER@HOST --name NAME",
    " What is wrong with one: stoker hosts test NAME",
)
