"""What there is to choose from: this machine, the hosts of the config as they were last seen, and simulated ones."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from app.domain.engines import CONTAINERS
from app.domain.failures import StokerError
from app.domain.gpus import Gpu, HostFacts, Reserve, Reserves, free_vram
from app.domain.hosts import LOCAL, SIMULATED
from app.domain.offers import GIB, Offer, Slot
from app.domain.vram.gpus import gpu_named
from app.launch.fit import memory
from app.settings import Home, Settings, SimulatedSettings
from app.store import hosts as store
from app.store import read


def known_offers(home: Home, settings: Settings) -> list[Offer]:
    """Every offer, whatever is asked for, with what the server last saw of each host.

    Without a server that has ever run, nothing is known of GPUs.
    """
    try:
        with read.reading(home.store) as connection:
            return offers(connection, settings)
    except StokerError as error:
        if error.code not in ("NOT_FOUND", "SERVER_OLDER"):
            raise
        return list(_gather({}, {}, settings))


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
        mine = held.get((name, str(index)), {})
        slots.append(Slot(index, str(index), total, max(0, total - sum(mine.values())), ", ".join(sorted(mine))))
    size = int(host.memory * GIB)
    return Offer(SIMULATED, name, host.gpu, tuple(slots), size, host.region, host.tier, int(host.price))


def _slots(facts: HostFacts, held: store.Reserved) -> Iterator[tuple[str, tuple[Slot, ...]]]:
    """The GPUs of a host, by their kind."""
    # A GPU in slices (MIG) takes no work as a whole, and a slice is chosen by hand: an index does not name it.
    whole = [gpu for gpu in facts.look.gpus if gpu.slice is None and not gpu.mig]
    usable = [gpu for gpu in whole if gpu.vram_total and not gpu.trouble]
    for name, alike in groupby(sorted(usable, key=lambda gpu: (gpu.name, gpu.index)), key=lambda gpu: gpu.name):
        yield name, tuple(_slot(gpu, facts, held.get((facts.name, gpu.uuid), {})) for gpu in alike)


def _slot(gpu: Gpu, facts: HostFacts, declared: Mapping[str, int]) -> Slot:
    ours = together(facts.reserved(gpu), declared)
    foreign = [h for h in gpu.holders or () if h.deployment is None]
    holders = [*sorted(ours), *(f"pid {h.pid} ({h.user or 'unknown'})" for h in foreign)]
    return Slot(gpu.index, gpu.uuid, gpu.vram_total or 0, free_vram(gpu, ours) or 0, ", ".join(holders))


def together(seen: Reserves, declared: Mapping[str, int]) -> dict[str, Reserve]:
    """What ours need of a GPU: what was set aside for each, or what it was seen to hold if that is more."""
    found = dict(seen)
    for name, size in declared.items():
        before = found.get(name, Reserve(0, 0))
        found[name] = Reserve(max(size, before.bytes), before.since)
    return found
