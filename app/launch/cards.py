"""The GPUs that a container would be given, as the server saw them last, in the estimator's terms."""

from dataclasses import replace

from app.domain.engines import gpu_choice
from app.domain.failures import StokerError
from app.domain.gpus import Gpu, HostFacts, free_vram
from app.domain.hosts import LOCAL
from app.domain.vram import gpus as known
from app.settings import Home
from app.store import hosts, read


def cards(home: Home, host: str | None, wanted: str) -> tuple[known.Gpu, ...]:
    """Those of `wanted` (`all`, `count=N`, indexes or UUIDs) that `host` has, with what is free on them.

    Of a number the roomiest are taken. Empty where nobody has looked at the host yet, or its driver tells no sizes.
    """
    facts = read.read_or(home.store, lambda connection: hosts.host(connection, host or LOCAL), None)
    if facts is None:
        return ()
    names, count = gpu_choice(wanted)
    told = [(each, card) for each in facts.look.gpus if (card := _card(each, facts)) is not None]
    if count is not None:
        return tuple(sorted((card for _, card in told), key=lambda card: -card.room)[:count])
    return tuple(card for each, card in told if names == ("all",) or {str(each.index), each.uuid} & set(names))


def _card(gpu: Gpu, facts: HostFacts) -> known.Gpu | None:
    """One GPU. Its name says how many multiprocessors it has; its driver knows its memory better."""
    if gpu.vram_total is None:
        return None
    try:
        named = known.gpu_named(gpu.name)
    except StokerError:
        named = known.gpu_of(gpu.vram_total)
    return replace(named, name=gpu.name or named.name, total=gpu.vram_total, free=free_vram(gpu, facts.reserved(gpu)))
