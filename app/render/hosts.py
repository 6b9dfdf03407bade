"""Hosts and their GPUs as documents for scripts and as lines for people. What is not known is a dash, or null."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.domain.gpus import XIDS, Gpu, Holder, HostFacts, HostLook, Intrusion, Reserves, free_vram
from app.domain.money import format_amount
from app.domain.stock import Stock
from app.domain.text import safe
from app.render.cells import Cell, Line, Tone, line, table
from app.render.words import UNKNOWN, ago, brief, size

_HOT_C, _TOO_HOT_C = 80, 90
"""From where on a temperature is worth a look: data-centre GPUs slow down at 85 to 95 °C."""
_STATES: Mapping[str, tuple[str, Tone]] = {
    "ok": ("●", "good"),
    "no_gpu": ("○", "dim"),
    "no_driver": ("○", "dim"),
    "driver_down": ("✖", "bad"),
    "unseen": ("○", "dim"),
    "unreachable": ("?", "look"),
}


def gib(count: int | None) -> str:
    """Bytes of memory in units of 1024³: `19.8 GiB`."""
    return UNKNOWN if count is None else f"{count / 2**30:.1f} GiB"


def gpu_documents(host: str, look: HostLook, reserves: Mapping[str, Reserves]) -> list[dict[str, Any]]:
    """The GPUs of one host as `gpus --json` prints them; `reserves` is what ours need of each, by uuid."""
    return [_gpu_document(host, gpu, reserves.get(gpu.uuid, {})) for gpu in look.gpus]


def _gpu_document(host: str, gpu: Gpu, reserved: Reserves) -> dict[str, Any]:
    names = ("index", "slice", "name", "uuid", "vram_total", "vram_used")
    more = ("capability", "ecc_errors", "xid", "mig", "trouble")
    return {
        "host": host,
        **{name: getattr(gpu, name) for name in names},
        "vram_free": free_vram(gpu, reserved),
        "utilization": gpu.utilization,
        "temperature_c": gpu.temperature_c,
        "power_w": None if gpu.power_mw is None else gpu.power_mw / 1000,
        **{name: getattr(gpu, name) for name in more},
        "holders": [
            {name: value for name, value in asdict(holder).items() if name != "parents"} for holder in gpu.holders or ()
        ],
    }


def host_document(
    name: str, about: Mapping[str, Any], facts: HostFacts | None, stock: Stock | None = None
) -> dict[str, Any]:
    """One host as `hosts ls --json` prints it: what is configured of it, and what the server saw last."""
    look = facts.look if facts else None
    whole = [gpu for gpu in look.gpus if gpu.slice is None] if look else []
    free = [free_vram(gpu, facts.reserved(gpu)) for gpu in whole] if facts else []
    return {
        "name": name,
        **about,
        "state": look.state if look else None,
        "detail": look.detail if look else "",
        "code": look.code if look else None,
        "since": facts.since if facts else None,
        "looked_at": look.at if look else None,
        "driver": look.driver if look else None,
        "cuda": look.cuda if look else None,
        "gpus": [gpu.name for gpu in whole],
        "vram_free": sum(each or 0 for each in free) if free else None,
        "docker": stock.docker if stock else None,
        "images": len(stock.images) if stock else None,
        "weights_bytes": sum(kept.size or 0 for kept in stock.weights) if stock else None,
        "disk_free": next((disk.free for disk in stock.disks if disk.holds == "weights"), None) if stock else None,
    }


def host_table(documents: Sequence[Mapping[str, Any]], now: int) -> list[Line]:
    """What `stoker hosts ls` shows."""
    body = [
        (
            d["name"],
            d["address"] or UNKNOWN,
            state_cell(d["state"]),
            _counted(d["gpus"]) or safe(d["detail"], 60) or UNKNOWN,
            gib(d["vram_free"]),
            d["docker"] or UNKNOWN,
            size(d["disk_free"]),
            d["region"] or UNKNOWN,
            d["tier"] or UNKNOWN,
            format_amount(d["price_per_hour_micro"]) if d["address"] else UNKNOWN,
            ago(now, d["looked_at"]),
        )
        for d in documents
    ]
    heads = ("NAME", "ADDRESS", "STATE", "GPUS", "FREE", "DOCKER", "DISK FREE", "REGION", "TIER", "PER GPU", "SEEN")
    return table(heads, body)


def _counted(names: Sequence[str]) -> str:
    """Names of GPUs, each once: `2 × NVIDIA L40S`."""
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in Counter(names).items())


def state_cell(state: str | None) -> Cell:
    """A host's state: sign and word."""
    if state is None:
        return Cell("not looked at yet", "dim")
    glyph, tone = _STATES[state]
    return Cell(f"{glyph} {state.replace('_', ' ')}", tone)


def gpu_lines(host: str, look: HostLook, reserves: Mapping[str, Reserves], width: int) -> list[Line]:
    """What `stoker gpus` shows of one host: a row a GPU, and under it who holds its memory, in `width` characters."""
    rows = [_gpu_row(host, gpu, reserves.get(gpu.uuid, {})) for gpu in look.gpus]
    head, *shown = table(("HOST", "GPU", "NAME", "VRAM", "FREE", "UTIL", "TEMP", "POWER", "CC", "ERRORS"), rows)
    lines = [head]
    for gpu, row in zip(look.gpus, shown, strict=True):
        below = [*slice_lines(gpu), *(holder_line(holder, look.at, width - 4) for holder in gpu.holders or ())]
        lines += [row, *(line("    ", *each) for each in below)]
    return lines


def _gpu_row(host: str, gpu: Gpu, reserved: Reserves) -> tuple[Cell | str, ...]:
    return (
        host,
        gpu.place,
        gpu.name or UNKNOWN,
        used_of(gpu),
        gib(free_vram(gpu, reserved)),
        UNKNOWN if gpu.utilization is None else f"{gpu.utilization}%",
        temperature(gpu),
        power(gpu),
        gpu.capability or UNKNOWN,
        errors(gpu),
    )


def slice_lines(gpu: Gpu) -> list[Line]:
    """What to launch on a slice by."""
    return [] if gpu.slice is None else [line(Cell(gpu.uuid, "dim"))]


def used_of(gpu: Gpu) -> str:
    """Memory in use of all there is: `19.8/24.0 GiB`."""
    if gpu.vram_total is None or gpu.vram_used is None:
        return UNKNOWN
    return f"{gpu.vram_used / 2**30:.1f}/{gib(gpu.vram_total)}"


def temperature(gpu: Gpu) -> Cell:
    """Degrees Celsius, in yellow or red when it is hot."""
    if gpu.temperature_c is None:
        return Cell(UNKNOWN)
    tone: Tone = "bad" if gpu.temperature_c >= _TOO_HOT_C else "look" if gpu.temperature_c >= _HOT_C else "plain"
    return Cell(f"{gpu.temperature_c}°C", tone)


def power(gpu: Gpu) -> str:
    """Watts."""
    return UNKNOWN if gpu.power_mw is None else f"{gpu.power_mw / 1000:.0f} W"


def errors(gpu: Gpu) -> Cell:
    """What is wrong with the GPU itself: lost, an Xid, memory errors; a dash if nothing is known to be."""
    parts = [gpu.trouble.rstrip(".")] if gpu.trouble else []
    if gpu.xid is not None:
        parts.append(f"Xid {gpu.xid}" + (f": {XIDS[gpu.xid]}" if gpu.xid in XIDS else ""))
    if gpu.ecc_errors:
        parts.append(f"{gpu.ecc_errors} ECC")
    return Cell("; ".join(parts), "bad") if parts else Cell(UNKNOWN, "dim")


def holder_line(holder: Holder, now: int, width: int = 4_096) -> Line:
    """Who holds memory: `pid 4121  alice  python train.py  2.0 GiB  since 3h`, in yellow when it is not ours.

    The command gives way where that would be longer than `width` characters; a container is named behind it.
    """
    who = f"{holder.deployment}, " if holder.deployment else ""
    head = f"pid {holder.pid}  {holder.user or UNKNOWN}  {who}"
    tail = f"  {gib(holder.bytes)}" + ("" if holder.since is None else f"  since {brief(now - holder.since)}")
    command = safe(holder.command or UNKNOWN, max(8, width - len(head) - len(tail)))
    inside = f"  in container {holder.container}" if holder.container else ""
    return line(Cell(head + command + tail + inside, "look" if holder.deployment is None else "plain"))


def intrusion_line(host: str, gpu: Gpu, found: Intrusion) -> Line:
    """That somebody takes what ours need."""
    who = ", ".join(
        f"{h.command.partition(' ')[0] or 'a process'} (pid {h.pid}, {h.user or UNKNOWN})" for h in found.holders
    )
    what = f" takes {gib(found.missing)} of what {', '.join(found.deployments)} needs on {host}:{gpu.place}"
    return line(Cell(f"! {who}{what}", "bad"))


def trouble_line(name: str, look: HostLook) -> Line:
    """Why a host shows no GPUs."""
    code = f"{look.code} " if look.code else ""
    return line(f"{name}  ", state_cell(look.state), Cell(f"  {code}{look.detail}", "plain"))
