"""What there is to choose from: this machine, the hosts of the config as they were last seen, and simulated ones."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from app.domain.engines import CONTAINERS
from app.domain.gpus import Gpu, HostFacts, Reserves
from app.domain.hosts import LOCAL, SIMULATED
from app.domain.offers import GIB, Offer, Share, Slot
from app.domain.text import safe
from app.domain.vram.gpus import gpu_named
from app.launch.fit import memory
from app.settings import Home, Settings, SimulatedSettings
from app.store import hosts as store
from app.store import read


def known_offers(home: Home, settings: Settings) -> list[Offer]:
    """Every offer, whatever is asked for, with what the server last saw of each host.

    Without a server that has ever run, nothing is known of GPUs.
    """
    found = read.read_or(home.store, lambda connection: offers(connection, settings), None)
    return list(_gather({}, {}, settings)) if found is None else found


def offers(connection: sqlite3.Connection, settings: Settings) -> list[Offer]:
    """The same, read where the caller reads."""
    return list(_gather({facts.name: facts for facts in store.hosts(connection)}, store.reserved(connection), settings))


def _gather(facts: Mapping[str, HostFacts], held: store.Reserved, settings: Settings) -> Iterator[Offer]:
    here, gpu_here = int(settings.billing.hour), int(settings.billing.gpu_hour)
    yield Offer("process", memory=memory()[1], base=here)
    if LOCAL in facts:
        for gpu, slots in _slots(facts[LOCAL], held):
            yield Offer(CONTAINERS, None, gpu, slots, base=here, price=gpu_here)
    for name, host in settings.hosts.items():
        found = facts.get(name)
        base = Offer(
            CONTAINERS, name, region=host.region, tier=host.tier, price=int(host.price), trouble=_trouble(found)
        )
        kinds = [] if found is None else list(_slots(found, held))
        for gpu, slots in kinds or [("", ())]:
            yield replace(base, gpu=gpu, slots=slots)
    for name, played in settings.simulated.items():
        yield _simulated(name, played, held)


def _trouble(facts: HostFacts | None) -> str:
    if facts is None:
        return "not looked at yet"
    return facts.look.detail if facts.look.code is not None else ""


def _simulated(name: str, host: SimulatedSettings, held: store.Reserved) -> Offer:
    total = int(host.vram * GIB) if host.vram or not host.gpus else gpu_named(host.gpu).total
    slots = []
    for index in range(host.gpus):
        slots.append(Slot(index, str(index), total, total).declaring(held.get((name, str(index)), {})))
    size = int(host.memory * GIB)
    return Offer(SIMULATED, name, host.gpu, tuple(slots), size, host.region, host.tier, int(host.price))


def _slots(facts: HostFacts, held: store.Reserved) -> Iterator[tuple[str, tuple[Slot, ...]]]:
    """The GPUs of a host, by their kind."""
    # A GPU in slices (MIG) takes no work as a whole, and a slice is chosen by hand: an index does not name it.
    whole = [gpu for gpu in facts.look.gpus if gpu.slice is None and not gpu.mig]
    usable = [gpu for gpu in whole if gpu.vram_total and not gpu.trouble]
    for name, alike in groupby(sorted(usable, key=lambda gpu: (gpu.name, gpu.index)), key=lambda gpu: gpu.name):
        yield name, tuple(slot_of(gpu, facts, held.get((facts.name, gpu.uuid), {})) for gpu in alike)


def slot_of(gpu: Gpu, facts: HostFacts, declared: Reserves) -> Slot:
    """A GPU as an offer has it, with what is `declared` to be set aside there, by deployment."""
    shares = {name: Share(name, seen=reserve.bytes) for name, reserve in facts.reserved(gpu).items()}
    foreign = []
    for holder in gpu.holders or ():
        if holder.deployment is None:
            foreign.append(f"pid {holder.pid} ({holder.user or 'unknown'}, {safe(holder.command or '?', 40)})")
        else:
            known = shares.get(holder.deployment, Share(holder.deployment))
            shares[known.name] = replace(known, holds=known.holds + (holder.bytes or 0))
    ours, others = tuple(shares.values()), ", ".join(foreign)
    slot = Slot(gpu.index, gpu.uuid, gpu.vram_total or 0, gpu.vram_free or 0, ours, others)
    return slot.declaring(declared)
