"""GPUs as they were looked at: what a host has, who holds its memory, and what is left of it for us. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

HostState = Literal["ok", "no_gpu", "no_driver", "driver_down", "unseen", "unreachable"]
"""`unseen` is a host whose daemon alone is known: nothing leads to its GPUs."""

XIDS = {
    13: "a program's fault",
    31: "a program touched memory that is not its own",
    43: "a program's fault, the GPU goes on",
    48: "memory error that could not be corrected",
    63: "a bad memory row was retired",
    64: "a bad memory row could not be retired",
    74: "NVLink failed",
    79: "the GPU fell off the bus",
    94: "memory error, contained to one program",
    95: "memory error, not contained: reset the GPU",
    119: "the GPU's own processor does not answer",
}
"""What the commonest Xid codes mean (https://docs.nvidia.com/deploy/xid-errors/)."""

_SECRET = re.compile(
    r"(?i)(--?[\w-]*(?:key|token|secret|password)[\w-]*[= ]|\b[\w-]*(?:key|token|secret|password)=)\S+"
)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds VRAM. None is what nobody could be asked: the driver hides `bytes`, another user's namespace
    the rest.

    `since` is when it began, in UTC microseconds. `parents` are the processes above it, the nearest first. `deployment`
    is the name of ours that it belongs to.
    """

    pid: int
    bytes: int | None = None
    user: str | None = None
    command: str = ""
    container: str | None = None
    since: int | None = None
    parents: tuple[int, ...] = ()
    deployment: str | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. None is what it or its driver does not tell (unified memory, a slice of a GPU, an old driver).

    Memory in bytes, utilisation in percent, power in milliwatts. `ecc_errors` are those since the driver was loaded
    that could not be corrected; `xid` is the last critical error that the driver reported while somebody listened.
    `trouble` says why the GPU itself could not be asked. `holders` is None where the driver names no processes.
    A slice (MIG) of a GPU has an entry of its own behind that of the whole: the same `index`, and the number of the
    `slice`; the holders of slices are not among those of the whole.
    """

    index: int
    uuid: str = ""
    name: str = ""
    vram_total: int | None = None
    vram_used: int | None = None
    vram_free: int | None = None
    utilization: int | None = None
    temperature_c: int | None = None
    power_mw: int | None = None
    capability: str | None = None
    ecc_errors: int | None = None
    xid: int | None = None
    mig: bool | None = None
    trouble: str = ""
    holders: tuple[Holder, ...] | None = None
    slice: int | None = None

    @property
    def place(self) -> str:
        """Which one it is on its host: `0`, for a slice `0:1`."""
        return str(self.index) if self.slice is None else f"{self.index}:{self.slice}"


@dataclass(frozen=True, slots=True)
class HostLook:
    """One look at a host, at `at` in UTC microseconds. `detail` says what is wrong, in a sentence, with a `code`."""

    state: HostState
    at: int
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    code: str | None = None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "HostLook":
        """A look as it was stored."""
        return HostLook(**{**data, "gpus": tuple(_gpu(each) for each in data["gpus"])})


def _gpu(data: Mapping[str, Any]) -> Gpu:
    holders = data["holders"]
    if holders is not None:
        holders = tuple(Holder(**{**each, "parents": tuple(each["parents"])}) for each in holders)
    return Gpu(**{**data, "holders": holders})


def shown_command(words: Sequence[str]) -> str:
    """A command line without what looks like a secret in it: other people's processes are none of our business."""
    return _SECRET.sub(r"\1***", " ".join(words))


@dataclass(frozen=True, slots=True)
class Ours:
    """What runs of ours on a host: its deployment by the pid of the engine, and by the short id of its container."""

    pids: Mapping[int, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)

    def owner(self, holder: Holder) -> str | None:
        """The deployment of a process: it is an engine, below one, or in the container of one."""
        above = next((self.pids[pid] for pid in (holder.pid, *holder.parents) if pid in self.pids), None)
        return above or self.containers.get(holder.container or "")


def attribute(look: HostLook, ours: Ours) -> HostLook:
    """The look with the deployment of every holder that is one of `ours`."""
    return replace(
        look,
        gpus=tuple(
            replace(gpu, holders=tuple(replace(h, deployment=ours.owner(h)) for h in gpu.holders))
            if gpu.holders
            else gpu
            for gpu in look.gpus
        ),
    )


@dataclass(frozen=True, slots=True)
class Reserve:
    """What a deployment needs of a GPU: the most bytes that it has held there, with processes of which the first began
    at `since` (UTC microseconds), while it ran `variant`."""

    bytes: int
    since: int
    variant: str = ""


Reserves = Mapping[str, Reserve]
"""By deployment."""


Wanted = Mapping[str, str]
"""The deployments that are to run, each with the variant that it runs: empty while there are instances of several."""


def reserves(before: Reserves, gpu: Gpu, wanted: Wanted, now: int) -> dict[str, Reserve]:
    """What our deployments need of `gpu` after a look at it, given what they needed `before` it.

    A reserve stays while its deployment is `wanted`, also when it holds nothing: asleep, or between two starts. What
    another variant of it needed says nothing about this one.
    """
    kept = _kept(before, wanted)
    for name, held in _held(gpu, now).items():
        if name in wanted:
            known = kept.get(name, held)
            kept[name] = Reserve(max(known.bytes, held.bytes), min(known.since, held.since), wanted[name])
    return kept


def _kept(before: Reserves, wanted: Wanted) -> dict[str, Reserve]:
    return {name: reserve for name, reserve in before.items() if wanted.get(name) == reserve.variant}


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host as the server knows it: the last look, what ours need of its GPUs by uuid, and since when it has answered.

    While it does not answer, `since` is when it ceased to, and the GPUs are those of `answered_at`. Times are UTC
    microseconds.
    """

    name: str
    look: HostLook
    reserves: Mapping[str, Reserves]
    since: int
    answered_at: int | None

    def reserved(self, gpu: Gpu) -> Reserves:
        """What ours need of one of its GPUs."""
        return self.reserves.get(gpu.uuid, {})


def together(seen: Reserves, promised: Reserves) -> dict[str, Reserve]:
    """What ours need of a GPU: what was set aside for each, or what it was seen to hold if that is more."""
    found = dict(seen)
    for name, promise in promised.items():
        known = found.get(name, promise)
        found[name] = replace(known, bytes=max(promise.bytes, known.bytes), since=min(promise.since, known.since))
    return found


def succeed(before: HostFacts | None, name: str, look: HostLook, wanted: Wanted) -> HostFacts:
    """What is known of a host after a `look` at it, given what was known `before` and the deployments that are wanted.

    A host that does not answer keeps the GPUs that it had, and ours what they need of them.
    """
    answers = look.state != "unreachable"
    same = before is not None and (before.look.state != "unreachable") == answers
    since = before.since if before is not None and same else look.at
    known = before.reserves if before is not None else {}
    if not answers:
        if before is not None:
            look = replace(look, gpus=before.look.gpus, driver=before.look.driver, cuda=before.look.cuda)
        return HostFacts(name, look, known, since, before.answered_at if before is not None else None)
    # A GPU that is not seen now, because its driver is down, is no less needed.
    needs = {uuid: _kept(of, wanted) for uuid, of in known.items()}
    needs |= {gpu.uuid: reserves(known.get(gpu.uuid, {}), gpu, wanted, look.at) for gpu in look.gpus if gpu.uuid}
    return HostFacts(name, look, {uuid: need for uuid, need in needs.items() if need}, since, look.at)


@dataclass(frozen=True, slots=True)
class Sample:
    """A GPU at one moment; None is what it does not tell. Units as those of `Gpu`."""

    at: int
    vram_used: int | None
    utilization: int | None
    temperature_c: int | None
    power_mw: int | None


KNOWN_AFTER_US = 10_000_000
"""How long after its start an engine of ours may not be known by its pid or container yet: one look at its backend."""


def free_vram(gpu: Gpu, reserved: Reserves) -> int | None:
    """Bytes that a newcomer of ours may count on: what the driver has free, or less if ours do not hold all they need.

    `min(driver free, total - our own reservations)`; None where the GPU tells nothing.
    """
    if gpu.vram_free is None or gpu.vram_total is None:
        return gpu.vram_free
    return max(0, min(gpu.vram_free, gpu.vram_total - sum(each.bytes for each in reserved.values())))


@dataclass(frozen=True, slots=True)
class Intrusion:
    """Somebody else's processes take `missing` bytes of what `deployments` of ours need of a GPU."""

    missing: int
    deployments: tuple[str, ...]
    holders: tuple[Holder, ...]


def intrusion(gpu: Gpu, reserved: Reserves, now: int) -> Intrusion | None:
    """Whether newcomers on `gpu` leave less than our deployments there need, as far as a look at `now` can tell.

    Newcomers are processes that are not ours and began after ours, or of which nobody knows when they began. Of one
    that has only just begun it is not known yet whose it is.
    """
    if gpu.vram_total is None or not reserved or not gpu.holders:
        return None
    first = min(each.since for each in reserved.values())
    foreign = [h for h in gpu.holders if h.deployment is None]
    newcomers = tuple(h for h in foreign if h.bytes and (h.since is None or first <= h.since < now - KNOWN_AFTER_US))
    missing = sum(each.bytes for each in reserved.values()) + sum(h.bytes or 0 for h in foreign) - gpu.vram_total
    return Intrusion(missing, tuple(sorted(reserved)), newcomers) if newcomers and missing > 0 else None


def _held(gpu: Gpu, now: int) -> dict[str, Reserve]:
    held: dict[str, Reserve] = {}
    for holder in gpu.holders or ():
        if holder.deployment is not None:
            known = held.get(holder.deployment, Reserve(0, now))
            since = now if holder.since is None else holder.since
            held[holder.deployment] = Reserve(known.bytes + (holder.bytes or 0), min(known.since, since))
    return held
