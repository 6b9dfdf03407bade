"""An attempt of which nothing runs: what its script makes of it as time goes by. Pure.

Durations count by the boot clock, so that a jump of the wall clock moves nothing.
"""

import signal
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from backends.base import Exit, Resource

NO_CAPACITY = "no capacity"
"""How the refusal of a host begins that has nothing to give."""


class Moment(NamedTuple):
    """A point in time: UTC microseconds, and microseconds of boot time within `boot_id`."""

    at: int
    boot_us: int
    boot_id: str

    def since(self, other: "Moment") -> int:
        """Microseconds from `other` to this; by the wall clock where a boot lies between them."""
        return max(0, self.boot_us - other.boot_us if self.boot_id == other.boot_id else self.at - other.at)


@dataclass(frozen=True, slots=True)
class Script:
    """What becomes of one start. Durations in seconds.

    `fault` is one of: `none`; `capacity`, refused at once; `timeout N`, waits that long for capacity and gets none;
    `oom`, runs out of GPU memory once it has loaded; `crash N`, ends that long after it began. It is prepared for
    `prepare` and then loads for `load`.
    """

    fault: str = "none"
    prepare: float = 0.0
    load: float = 0.0

    @property
    def kind(self) -> str:
        return self.fault.partition(" ")[0]

    @property
    def after(self) -> float:
        """The N of its fault."""
        return float(self.fault.partition(" ")[2] or 0)

    def end(self) -> tuple[int, Exit] | None:
        """After how many microseconds it ends by itself, and how; None if it does not."""
        match self.kind:
            case "timeout":
                return _us(self.after), Exit(0, error=f"{NO_CAPACITY} within {self.after:g} s")
            case "oom":
                return _us(self.prepare + self.load), Exit(0, code=1)
            case "crash":
                return _us(self.prepare + self.after), Exit(0, signal=signal.SIGALRM)
        return None


@dataclass(frozen=True, slots=True)
class Record:
    """An attempt on a scripted host. `stopped` is when it was asked to end, `noticed` says that its end was written
    down, `released` that it was let go of."""

    key: str
    owner: str
    deployment: str
    instance: str
    epoch: int
    directory: str
    began: Moment
    script: Script
    stopped: Moment | None = None
    noticed: bool = False
    released: bool = False

    def resource(self, endpoint: str, now: Moment) -> Resource:
        """What there is of it at `now`."""
        age, prepared = now.since(self.began), _us(self.script.prepare)
        how, waits = self.exit(now), self.script.kind == "timeout"
        preparing = how is None and (waits or age < prepared)
        loaded = how is None and not preparing and age >= prepared + _us(self.script.load)
        return Resource(
            key=self.key,
            deployment=self.deployment,
            instance=self.instance,
            epoch=self.epoch,
            presence="exited" if how else "preparing" if preparing else "alive",
            started_at=self.began.at + (0 if preparing or waits else min(age, prepared)),
            endpoint=endpoint if loaded else None,
            exit=how,
            progress=("waits for capacity" if waits else "is prepared") if preparing else None,
        )

    def exit(self, now: Moment) -> Exit | None:
        """How it ended, None while it has not: by its script or because it was asked to, whichever came first."""
        fated = self.script.end()
        if self.stopped is not None:
            asked = self.stopped.since(self.began)
            if fated is None or asked < fated[0]:
                return Exit(self.stopped.at, signal=signal.SIGTERM, boot_us=self._boot_us(asked, now))
        if fated is None or now.since(self.began) < fated[0]:
            return None
        age, how = fated
        return replace(how, at=self.began.at + age, boot_us=self._boot_us(age, now))

    def _boot_us(self, age: int, now: Moment) -> int | None:
        return self.began.boot_us + age if self.began.boot_id == now.boot_id else None

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Record":
        """The inverse of `asdict`. Raises KeyError or TypeError on anything else."""
        stopped = data["stopped"]
        return Record(
            **{
                **data,
                "began": Moment(*data["began"]),
                "script": Script(**data["script"]),
                "stopped": None if stopped is None else Moment(*stopped),
            }
        )


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
