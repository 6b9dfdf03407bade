"""GPUs as lines of a screen: a meter for memory, a sparkline for load; and a line a host where there is little room."""

from collections.abc import Iterator

from app.domain.gpus import Gpu, HostFacts, free_vram
from app.machines import Machines
from app.render.cells import Cell
from app.render.cells import Line as RenderLine
from app.render.hosts import errors, gib, holder_line, intrusion_line, power, slice_lines, temperature, used_of
from app.render.words import UNKNOWN
from app.screens.base import ConsoleScreen
from widgets.plot import meter, sparkline
from widgets.spans import Line, Span, fit

_FULL, _NEARLY = 0.97, 0.9
"""Fractions of a GPU's memory in use from which on the meter is red, or yellow."""
HOSTS_SHOWN = 3
_INDENT, _SCROLLBAR = 6, 1


def host_lines(screen: ConsoleScreen, machines: Machines, facts: HostFacts) -> Iterator[Line]:
    """The GPUs of one host, each with its errors, those who hold its memory, and what is reserved for ours."""
    old = facts.look.state == "unreachable"
    for gpu in facts.look.gpus:
        line = _gpu(screen, machines, facts.name, gpu)
        yield [(text, "dim") for text, _ in line] if old else line
        for below in _below(machines, facts, gpu, screen.size.width - _INDENT - _SCROLLBAR):
            yield screen.spans(below, _INDENT)


def _gpu(screen: ConsoleScreen, machines: Machines, host: str, gpu: Gpu) -> list[Span]:
    wide = screen.size.width >= 100
    glyphs = screen.console.glyphs
    name, bar, spark = (22, 12, 22) if wide else (18, 8, 10)
    used = gpu.vram_used / gpu.vram_total if gpu.vram_used is not None and gpu.vram_total else None
    load = UNKNOWN if gpu.utilization is None else f"{gpu.utilization}%"
    heat = temperature(gpu)
    return [
        *screen.line((f"{gpu.place:>4}  ", "plain"), (fit(_name(gpu), name), "strong")),
        (" ", "plain"),
        *meter(used, bar, "bad" if used and used > _FULL else "look" if used and used > _NEARLY else "good", glyphs),
        *screen.line((f" {used_of(gpu):<14}", "plain")),
        (" " + sparkline(machines.load(host, gpu), spark, 100, glyphs), "cyan"),
        *screen.line((f" {load:>4}", "plain"), (f" {heat.text:>5}", heat.tone), (f" {power(gpu):>6}", "plain")),
        *screen.line((f"  {gpu.capability}", "dim") if screen.size.width >= 104 and gpu.capability else ("", "dim")),
    ]


def _name(gpu: Gpu) -> str:
    """What a GPU is called in little room; of a slice its kind, for that of the whole stands above it."""
    name = gpu.name.removeprefix("NVIDIA ") or UNKNOWN
    _, sign, kind = name.rpartition(" MIG ")
    return f"MIG {kind}" if sign and gpu.slice is not None else name


def _below(machines: Machines, facts: HostFacts, gpu: Gpu, width: int) -> Iterator[RenderLine]:
    found = errors(gpu)
    if found.tone == "bad":
        yield (found,)
    for host, where, intruder in machines.intrusions:
        if (host, where.uuid) == (facts.name, gpu.uuid):
            yield intrusion_line(host, where, intruder)
    yield from slice_lines(gpu)
    for holder in gpu.holders or ():
        yield holder_line(holder, machines.now, width)
    if reserved := facts.reserved(gpu):
        needs = ", ".join(f"{name} needs {gib(each.bytes)}" for name, each in sorted(reserved.items()))
        yield (Cell(f"{needs}; {gib(free_vram(gpu, reserved))} free for others of ours", "dim"),)


def summary_lines(screen: ConsoleScreen, machines: Machines) -> Iterator[Line]:
    """A line a host with GPUs, after one for everybody who takes what ours need."""
    for host, gpu, found in machines.intrusions:
        yield screen.spans(intrusion_line(host, gpu, found), 1)
    with_gpus = [facts for facts in machines.hosts if facts.look.gpus]
    for facts in with_gpus[:HOSTS_SHOWN]:
        yield _summary(screen, machines, facts)
    if len(with_gpus) > HOSTS_SHOWN:
        yield screen.line((f" {len(with_gpus) - HOSTS_SHOWN} more hosts: 7", "dim"))


def _summary(screen: ConsoleScreen, machines: Machines, facts: HostFacts) -> Line:
    if facts.look.state == "unreachable":
        return screen.line((f" {facts.name}", "strong"), ("  ? unreachable", "look"))
    spark = 12 if screen.size.width >= 100 else 6
    spans: list[Span] = screen.line((f" {facts.name}", "strong"))
    for gpu in facts.look.gpus:
        spans += screen.line((f"  {gpu.place} ", "plain"))
        if gpu.trouble:
            spans += screen.line(("lost", "bad"))
        elif gpu.holders == () and not gpu.utilization:
            spans += screen.line(("free", "dim"))
        else:
            heat = temperature(gpu)
            load = UNKNOWN if gpu.utilization is None else f"{gpu.utilization}%"
            spans.append((sparkline(machines.load(facts.name, gpu), spark, 100, screen.console.glyphs), "cyan"))
            spans += screen.line((f" {load}", "plain"), (f"  {heat.text}", heat.tone))
    return spans
