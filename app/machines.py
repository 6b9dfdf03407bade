"""What screens show of hosts: the last look at each, and the hour before it, as the server has written them down."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.gpus import Gpu, HostFacts, Intrusion, Sample, intrusion
from app.domain.stock import Stock
from app.settings import Home
from app.store import hosts as store
from app.store import read

SHOWN = 120
"""Samples in a sparkline's series: ten minutes."""
READ_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Machines:
    """Every host with the samples of its GPUs, by the host's name and the GPU's uuid, at `now` (UTC microseconds).

    `stocks` is what each has in store, by its name, where that was asked for.
    """

    hosts: Sequence[HostFacts] = ()
    history: Mapping[tuple[str, str], Sequence[Sample]] = field(default_factory=dict)
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    now: int = 0

    def load(self, host: str, gpu: Gpu) -> list[float | None]:
        """The utilisation of the last ten minutes in percent, at equal distances; None where nobody looked."""
        known = {s.at // store.SLOT_US: s.utilization for s in self.history.get((host, gpu.uuid), ())}
        latest = self.now // store.SLOT_US
        series: list[float | None] = [known.get(slot) for slot in range(latest - SHOWN, latest + 1)]
        while series and series[-1] is None and len(series) > SHOWN - 2:
            series.pop()  # the sample of this very moment is still to come
        return series

    @property
    def intrusions(self) -> list[tuple[str, Gpu, Intrusion]]:
        """Where somebody takes what ours need: host, GPU and what is missing."""
        return [
            (facts.name, gpu, found)
            for facts in self.hosts
            for gpu in facts.look.gpus
            if (found := intrusion(gpu, facts.reserved(gpu), facts.look.at)) is not None
        ]


class MachineReader:
    """Reads the hosts for a screen, which asks more often than the server looks: once a second is enough.

    With `stocks` also what they have in store.
    """

    def __init__(self, *, stocks: bool = False) -> None:
        self._stocks = stocks
        self._due = 0.0
        self._found = Machines()

    def read(self, home: Home, now: int) -> Machines:
        """The hosts as they were last seen, for a picture of `now`. Raises what `read.reading` raises."""
        if time.monotonic() >= self._due:
            with read.reading(home.store) as connection:
                found = store.hosts_with_promises(connection)
                seen = any(facts.look.gpus for facts in found)
                samples = store.history(connection, now, SHOWN + 1) if seen else {}
                stocks = store.stocks(connection) if self._stocks else {}
            self._found = Machines(found, samples, stocks)
            self._due = time.monotonic() + READ_EVERY_S
        return replace(self._found, now=now)
