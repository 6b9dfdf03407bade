"""What is wished and what is known, as the rules take it: rows of the store, and what backends and probes have seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.lifecycle import Phase, State
from app.domain.placement import Placement
from app.domain.status import Wish


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of an instance. Times are UTC microseconds, None for what has not happened.

    `failure_code` of one that lives still says that it was given up, and why. `placement` is where it was placed, None
    where its variant says that.
    """

    id: str
    number: int
    created_at: int
    started_at: int | None = None
    ready_at: int | None = None
    stop_at: int | None = None
    ended_at: int | None = None
    released_at: int | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    failure_code: str | None = None
    ended_boot_us: int | None = None
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One replica. `drained` says that the gateway has let go of it since it was last told to.

    `container` is the id of what it runs in, `progress` how far the host is with what it has to fetch first.
    """

    id: str
    name: str
    variant_id: str
    backend: str
    state: State
    phase: Phase
    since: int
    created_at: int
    attempt: Attempt | None = None
    endpoint: str | None = None
    pid: int | None = None
    ready_at: int | None = None
    served: bool = False
    drained: bool = False
    drain_until: int | None = None
    failure_code: str | None = None
    failure_evidence: str | None = None
    failure_count: int = 0
    failed_at: int | None = None
    retry_at: int | None = None
    observed_at: int | None = None
    unreachable_since: int | None = None
    container: str | None = None
    progress: str | None = None

    @property
    def down_at(self) -> int | None:
        """When it went down with its machine, or with everything else; None if it did not.

        Not when that was noticed, if more is known: somebody may have asked for it in between.
        """
        if self.phase is not Phase.BY_SHUTDOWN:
            return None
        return self.since if self.attempt is None or self.attempt.ended_at is None else self.attempt.ended_at


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment with its live instances, oldest first. `status` is the last one that was recorded.

    `wish_at` is when somebody last asked for it: to start, stop or go, or to be restarted (then `restart_at` too).
    """

    id: str
    name: str
    wish: Wish
    wish_at: int
    replicas: int
    variant_id: str
    status: str
    created_at: int
    stop_now: bool = False
    forget: bool = False
    restart_at: int | None = None
    instances: tuple[Instance, ...] = ()

    @property
    def failed(self) -> Instance | None:
        """The instance whose failure is the deployment's, None if none has failed."""
        return next((i for i in self.instances if i.state is State.FAILED and i.failure_code), None)


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, judged: `code` of the catalogue with the line that proves it.

    `rebooted` says that the machine went down with it, which is nobody's failure. `boot_us` is `at` in boot time, where
    the backend knows it.
    """

    at: int
    code: str
    evidence: str
    exit_code: int | None = None
    exit_signal: int | None = None
    rebooted: bool = False
    boot_us: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a successful look showed of one attempt. `ended` is None while it lives.

    `ready` says that it has answered with a real token, `lost` that it did and no longer does. `moved_at` is when it
    last gave a sign of getting on (a byte of output, memory taken), None if that is not known; `progress` says how far
    it was.

    It is `preparing` while image or weights are brought to the host; `fetching` says in words how far that is.
    """

    started_at: int
    pid: int | None = None
    endpoint: str | None = None
    loading: bool = False
    ready: bool = False
    lost: bool = False
    ended: Ended | None = None
    moved_at: int | None = None
    progress: str = ""
    container: str | None = None
    preparing: bool = False
    fetching: str | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a start may take, in microseconds: `stall_us` without a sign of getting on, `ceiling_us` in all."""

    stall_us: int = 300_000_000
    ceiling_us: int = 1_200_000_000


@dataclass(frozen=True, slots=True)
class Weights:
    """Whether the weights of a variant are on this machine. `code` and `evidence` say why a copy failed."""

    present: bool
    copying: bool = False
    code: str | None = None
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the rows that a pass decides on.

    `seen` is by attempt id and complete for every backend not in `unlooked`. `weights` is by variant id; a variant not
    in it has its weights. `busy` are instances with an external call under way. `stops_sent` are attempts that this
    server has asked to stop. `no_room` is by deployment id: why two replicas cannot run at once.
    `blocked` is by deployment id: why there is no money for it.
    `elsewhere` are instances for which another offer is left to be tried, should this one fail.
    `shutting_down` stops everything without changing a wish (`stoker down --all`).
    """

    now: int
    seen: Mapping[str, Seen] = field(default_factory=dict)
    unlooked: frozenset[str] = frozenset()
    weights: Mapping[str, Weights] = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    stops_sent: frozenset[str] = frozenset()
    no_room: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    gateway_up: bool = True
    shutting_down: bool = False
    resume_after_reboot: bool = False
    patience: Patience = Patience()
