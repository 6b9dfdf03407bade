"""Hosts: every machine with its driver and GPUs, how loaded they are, and who holds their memory."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from app.domain.fleet import Fleet
from app.domain.gpus import HostFacts
from app.machines import MachineReader, Machines
from app.render.cells import Cell
from app.render.hosts import state_cell
from app.render.words import brief
from app.screens.base import ConsoleScreen, bindings
from app.screens.gpus import host_lines
from app.settings import Home
from widgets.lines import Lines
from widgets.spans import Line

_OLD_US = 90_000_000
"""What was seen longer ago than this is said to be old: even a quiet host is noted down once a minute."""


class HostsScreen(ConsoleScreen):
    """Screen 7."""

    NAME = "hosts"
    TAB = "7"
    BINDINGS: ClassVar[list[BindingType]] = bindings("hosts")
    DEFAULT_CSS = """
    HostsScreen #hosts { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader, self._machines = MachineReader(), Machines()

    def body(self) -> Iterable[Widget]:
        yield Lines(glyphs=self.console.glyphs, focusable=True, id="hosts")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#hosts").focus()

    def on_resize(self) -> None:
        self._draw()

    def read(self, home: Home, fleet: Fleet | None) -> Machines:
        return Machines() if fleet is None else self._reader.read(home, fleet.now)

    def show(self, fleet: Fleet | None, facts: Machines) -> None:
        self._machines = facts
        self._draw()

    def _draw(self) -> None:
        lines: list[Line] = []
        for facts in self._machines.hosts:
            lines += [(), self._head(facts)] if lines else [self._head(facts)]
            if facts.look.detail:
                code = f"{facts.look.code} " if facts.look.code else ""
                lines.append(self.line((f"      {code}", "bad"), (facts.look.detail, "plain")))
            lines += host_lines(self, self._machines, facts)
        if not lines:
            lines = [self.line((" No host was looked at yet: the server does, a moment after its start.", "dim"))]
        self.query_one("#hosts", Lines).set_lines([*lines, (), *(self.line((text, "dim")) for text in _MORE)])

    def _head(self, facts: HostFacts) -> Line:
        look, now = facts.look, self._machines.now
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
