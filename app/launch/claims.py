"""The GPUs that a launch names: which they are, who holds them, and what of them it will set aside with its wish."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.engines import CONTAINERS, gpu_choice
from app.domain.failures import StokerError
from app.domain.gpus import HostFacts, Ours, attribute
from app.domain.hosts import LOCAL, SIMULATED
from app.domain.offers import GIB, Slot, short_of
from app.domain.variant import VariantSpec
from app.launch.checks import Check, from_error, passed
from app.launch.fit import claimed_on
from app.launch.need import needed
from app.launch.offers import known_offers, slot_of
from app.settings import Home, load_settings
from app.store import hosts as store
from app.store import read

_RECENT_US = 30_000_000
"""A look at this machine that is older says little of what is free; then it is looked at from here."""


@dataclass(frozen=True, slots=True)
class Claim:
    """GPUs of a host, and the bytes of each that all replicas together need; None is all that is free.

    `slots` are as they were looked at. `forced`: what is free will do.
    """

    host: str
    slots: tuple[Slot, ...]
    need: int | None
    forced: bool = False

    def pinned(self, spec: VariantSpec) -> VariantSpec:
        """`spec` on just these GPUs, if it only says how many."""
        if not (spec.gpus or "").startswith("count="):
            return spec
        return replace(spec, gpus=",".join(str(slot.index) for slot in self.slots))


def claim(name: str, spec: VariantSpec, replicas: int, home: Home, *, force: bool) -> tuple[Claim | None, list[Check]]:
    """What deployment `name` will set aside for `spec`, and the check that says whether it can be had.

    Nothing where no GPU is named, where Smart chooses them, or where nobody can say what the host has.
    """
    host = spec.host or LOCAL
    try:
        slots = _slots(spec, home, name)
        if not slots:
            return None, []
        chosen = _chosen(slots, spec.gpus, host)
    except StokerError as error:
        return None, [from_error("reserved", error)]
    if not chosen:
        return None, []
    each = claimed_on(spec, home) or needed(spec, home, len(chosen))
    found = Claim(host, chosen, None if each is None else each * replicas, force)
    for slot in chosen:
        if slot.free < (found.need or GIB) and not force:
            return found, [from_error("reserved", short_of(slot, host, found.need or GIB))]
    what = "all that is free" if found.need is None else f"{found.need / GIB:.1f} GiB"
    held = "; ".join(f"{slot.held} beside it on {slot.index}" for slot in chosen if slot.held)
    text = f"{what} of GPU {', '.join(str(slot.index) for slot in chosen)} of {host}"
    return found, [passed("reserved", f"{text}; {held}" if held else text)]


def _slots(spec: VariantSpec, home: Home, name: str) -> tuple[Slot, ...]:
    """The GPUs of the host that `spec` runs on, as deployment `name` sees them; none where it names none of them."""
    if not spec.gpus or spec.smart is not None or spec.backend not in (CONTAINERS, SIMULATED):
        return ()
    if spec.backend == SIMULATED:
        offers = known_offers(home, load_settings(home))
        found = [slot for offer in offers if offer.place == spec.place for slot in offer.slots]
    else:
        facts, declared = _host(home, spec.host)
        gpus = () if facts is None else facts.look.gpus
        usable = [gpu for gpu in gpus if gpu.vram_total and not gpu.trouble]
        found = [slot_of(gpu, facts, declared.get((facts.name, gpu.uuid), {})) for gpu in usable if facts is not None]
    return tuple(slot.seen_by(name) for slot in found)


def _chosen(slots: Sequence[Slot], gpus: str | None, host: str) -> tuple[Slot, ...]:
    """Those that are asked for; of a number of them the freest. Raises GPU_INCOMPATIBLE where there are not so many."""
    names, count = gpu_choice(gpus)
    if names == ("all",):
        return tuple(slots)
    known = {word: slot for slot in slots for word in (str(slot.index), slot.id)}
    if count is not None:
        freest = sorted(slots, key=lambda slot: (-slot.free, slot.index))[:count]
        chosen, asked = tuple(sorted(freest, key=lambda slot: slot.index)), count
    else:
        chosen, asked = tuple(known[name] for name in names if name in known), len(names)
    # What the driver lists by another name, such as a slice of a GPU, is the container runtime's to find.
    if len(chosen) < asked and (count is not None or all(name.isdecimal() for name in names)):
        have = ", ".join(str(slot.index) for slot in slots)
        raise StokerError("GPU_INCOMPATIBLE", f"`{gpus}`: {host} has GPU {have}.", "Choose among these: `stoker gpus`.")
    return chosen if len(chosen) == asked else ()


def _host(home: Home, host: str | None) -> tuple[HostFacts | None, store.Reserved]:
    """What is known of a host, and what is set aside on its GPUs; this machine is looked at if that is not recent."""
    name = host or LOCAL

    def look_up(connection: sqlite3.Connection) -> tuple[HostFacts | None, store.Reserved, Ours | None]:
        return store.host(connection, name), store.reserved(connection), store.ours(connection).get(name)

    unknown: tuple[HostFacts | None, store.Reserved, Ours | None] = (None, {}, None)
    facts, declared, ours = read.read_or(home.store, look_up, unknown)
    if host is not None or (facts is not None and facts.look.at >= time.time_ns() // 1_000 - _RECENT_US):
        return facts, declared
    from app.hosts.look import look_at_all

    look = look_at_all(home, {LOCAL: ""})[LOCAL]
    look = look if ours is None else attribute(look, ours)
    return HostFacts(LOCAL, look, {} if facts is None else facts.reserves, look.at, look.at), declared
