"""Recording what the server sees of hosts and GPUs."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict

from sqlmodel import Session, col, delete, select

from app.domain.gpus import Gpu, HostFacts, Reserves
from app.domain.stock import Stock
from app.store.hosts import SLOT_US, SLOTS
from app.store.tables import GpuSample, HostLook, HostStock


def record(session: Session, facts: HostFacts) -> None:
    """Note the last look at a host, and a sample of every GPU that was seen in it."""
    row = session.get(HostLook, facts.name) or HostLook(host=facts.name, look="{}", since=facts.since)
    row.look = json.dumps(facts.look.to_json())
    row.reserves = json.dumps(_plain(facts.reserves))
    row.since, row.answered_at = facts.since, facts.answered_at
    session.add(row)
    session.flush()
    if facts.look.state != "unreachable":
        for gpu in facts.look.gpus:
            if gpu.uuid and not gpu.trouble:
                session.merge(_sample(facts, gpu))


def record_stock(session: Session, host: str, stock: Stock) -> None:
    """Note what a host has in store. What was seen before stays where nothing could be seen now."""
    row = session.get(HostStock, host)
    if session.get(HostLook, host) is None or (row is not None and not stock.disks and stock.docker is None):
        return
    session.merge(HostStock(host=host, at=stock.at, stock=json.dumps(stock.to_json())))


def forget_others(session: Session, names: Collection[str]) -> None:
    """Drop what is known of hosts that are not among `names`."""
    for row in session.exec(select(HostLook)).all():
        if row.host not in names:
            session.delete(row)


def forget_old(session: Session, host: str, now: int) -> None:
    """Drop samples that no later one takes the place of: those of GPUs, or slices of them, that are no longer there."""
    session.exec(delete(GpuSample).where(col(GpuSample.host) == host, col(GpuSample.at) < now - SLOTS * SLOT_US))


def _sample(facts: HostFacts, gpu: Gpu) -> GpuSample:
    return GpuSample(
        host=facts.name,
        uuid=gpu.uuid,
        slot=facts.look.at // SLOT_US % SLOTS,
        at=facts.look.at,
        vram_used=gpu.vram_used,
        utilization=None if gpu.utilization is None else min(gpu.utilization, 100),
        temperature_c=gpu.temperature_c,
        power_mw=gpu.power_mw,
    )


def _plain(reserves: Mapping[str, Reserves]) -> dict[str, dict[str, object]]:
    return {uuid: {name: asdict(reserve) for name, reserve in of.items()} for uuid, of in reserves.items()}
