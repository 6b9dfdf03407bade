"""An estimate of memory for a person: a bar of its components for each GPU, and what was solved backwards."""

from collections.abc import Sequence
from typing import Protocol

from app.domain.vram.estimate import is_close
from app.domain.vram.gpus import GIB, Gpu
from app.domain.vram.setup import Component, Estimate, Setup
from app.render.cells import Cell, Line, Tone, line

_BAR = 24
_SIGNS = (("weights", "█"), ("kv", "░"), ("state", "░"), ("activation", "▒"), ("overhead", "▓"))
_BASES = {"headers": "the files' own tables", "params": "parameters and their bits", "given": "the bytes given"}
_NAMES = {"kv": "KV", "overhead": "runtime"}


class Solved(Protocol):
    """What was solved backwards; None where no GPU is given, or where it does not concern the engine."""

    @property
    def context(self) -> int | None: ...
    @property
    def sequences(self) -> int | None: ...
    @property
    def quantisation(self) -> str | None: ...
    @property
    def layers(self) -> int | None: ...
    @property
    def larger(self) -> Gpu | None: ...


def estimate_lines(title: str, setup: Setup, found: Estimate, solved: Solved) -> list[Line]:
    """What `estimate` prints."""
    known = "measured here" if _measured(found) else "estimated, not measured"
    lines = [line(Cell(title, "accent"), Cell(f"   {known}", "dim")), ()]
    for rank, part in enumerate(found.per_gpu):
        if rank and (part, setup.gpu(rank)) == (found.per_gpu[rank - 1], setup.gpu(rank - 1)):
            continue
        alike = sum(other == part for other in found.per_gpu) if rank == 0 else 1
        lines += _of_gpu(rank, part, setup.gpu(rank), found, alike if alike == len(found.per_gpu) else 1)
    if found.host:
        lines.append(line(f"{'host':9}{_gib(found.host)} GiB of weights stay in host memory"))
    lines += [(), *_verdict(setup, found, solved)]
    lines.append(line(Cell(f"{'basis':9}{basis(found)}", "dim")))
    return lines


def basis(found: Estimate) -> str:
    """Where the figures come from, in words."""
    weights = f"weights from {_BASES[found.basis]}"
    return weights if found.learnt is None else f"{weights}; {found.learnt.words}"


def memory_lines(found: Estimate, limit: int, gpu: str = "") -> list[Line]:
    """A bar of what one replica takes of `limit` bytes, and its components under it.

    They are bytes of this machine's memory, or of the GPU called so: of several, the one that takes most.
    """
    part = max(found.per_gpu, key=lambda part: part.total)
    most = part.total * found.band[1] / max(1, found.total)
    tone: Tone = "bad" if part.total > limit or found.fits is False else "look" if most > limit else "good"
    off = (found.band[1] - found.band[0]) / 2 / len(found.per_gpu)
    named = f"{len(found.per_gpu)} GPUs, {gpu}" if len(found.per_gpu) > 1 else gpu
    measured = "measured here" if _measured(found) else ""
    note = ", ".join(filter(None, (named, measured))) or "free here"
    return part_lines("VRAM" if gpu else "MEMORY", part, limit, off, note, tone)


def _measured(found: Estimate) -> bool:
    """Whether a start with these very settings was measured here."""
    return found.learnt is not None and found.learnt.scope == "settings"


def bar(part: Component, of: int, width: int = _BAR) -> str:
    """Components as shares of `of` bytes: █ weights, ░ cache and state, ▒ activation, ▓ runtime; the rest is free."""
    filled = min(width, max(1, round(part.total / max(1, of) * width)))
    return "".join(_sign_at(part, (cell + 0.5) / filled * part.total) for cell in range(filled)).ljust(width, "·")


def _sign_at(part: Component, place: float) -> str:
    """The sign of the component in which byte `place` of the sum lies."""
    for name, sign in _SIGNS:
        place -= getattr(part, name)
        if place < 0:
            return sign
    return _SIGNS[-1][1]


def part_lines(label: str, part: Component, size: int, off: float, named: str, tone: Tone) -> list[Line]:
    """A bar and the components under it. `size` is what the GPU or machine has, or what is needed where none is given.

    `off` is bytes by which the sum may be off.
    """
    of = f" of {_gib(size)}" if named else ""
    words = " · ".join(
        f"{_NAMES.get(name, name)} {_gib(getattr(part, name))}" for name, _ in _SIGNS if getattr(part, name)
    )
    spare = f" · spare {_gib(size - part.total)}" if size > part.total else ""
    figures = f"  {_gib(part.total)}{of} GiB  ±{_gib(off)}" + (f"   {named}" if named else "")
    return [
        line(f"{label:9}", Cell(bar(part, size), tone), figures),
        line(" " * 9, Cell(words + spare, "dim")),
    ]


def _of_gpu(rank: int, part: Component, gpu: Gpu | None, found: Estimate, alike: int) -> list[Line]:
    whole = (gpu is None and len(found.per_gpu) == 1) or (gpu is not None and gpu.host)
    label = "memory" if whole else f"GPU {rank}" if alike == 1 else f"{alike} GPUs"
    off = (found.band[1] - found.band[0]) / 2 / len(found.per_gpu)
    tone: Tone = "bad" if found.fits is False else "good" if found.fits else "plain"
    size = part.total if gpu is None else gpu.room
    return part_lines(label, part, size, off, "" if gpu is None else gpu.name, tone)


def _verdict(setup: Setup, found: Estimate, solved: Solved) -> list[Line]:
    lines = []
    if found.fits is not None:
        close = is_close(found, setup)
        word = "it fits" if found.fits else f"it does not fit: {found.why}"
        cell = Cell(
            word + (", but the error band reaches beyond the memory" if close else ""), _tone(found.fits, close)
        )
        lines.append(line(f"{'verdict':9}", cell))
    if setup.engine == "vllm" and setup.gpus:
        part = min(found.per_gpu, key=lambda part: part.kv_room)
        room = f"{_gib(max(0, part.kv_room))} GiB for {found.kv_tokens:,} tokens"
        lines.append(line(f"{'claims':9}{_gib(part.reserved)} GiB of each GPU, which leave {room}"))
    for label, value in _solutions(solved):
        lines.append(line(f"{label:9}{value}"))
    return lines


def _tone(fits: bool, close: bool) -> Tone:
    return "look" if close else "good" if fits else "bad"


def _solutions(solved: Solved) -> Sequence[tuple[str, str]]:
    rows = []
    if solved.context is not None:
        rows.append(("context", f"{solved.context:,} tokens are the most that fit" if solved.context else "none fits"))
    if solved.sequences:
        rows.append(("at once", f"{solved.sequences:,} requests of this context"))
    if solved.quantisation is not None:
        rows.append(("quant", f"{solved.quantisation} is the best that fits"))
    if solved.layers is not None:
        rows.append(("layers", f"{solved.layers} may be on the GPU (n-gpu-layers)"))
    if solved.larger is not None:
        rows.append(("larger", f"{solved.larger.name}, {_gib(solved.larger.total)} GiB, takes it with room to spare"))
    return rows


def _gib(size: float) -> str:
    gib = size / GIB
    return f"{gib:.1f}" if gib >= 0.95 else f"{gib:.2f}"
