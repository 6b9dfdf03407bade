"""The contract of a backend: where instances run, and the facts it reports about them.

A backend reports facts in its own types and decides nothing: the server turns an exit, an OOM flag or an error text
into a code of the catalogue. All verbs are async; an adapter around a blocking SDK runs it in threads of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Presence = Literal["preparing", "alive", "exited"]


class CouldNotLook(Exception):
    """The backend could not be asked. Says nothing about what runs there: cannot observe is not gone."""


class BackendRefused(Exception):
    """The backend refused a verb for good. `text` is its own line, kept as evidence; `errno` if there was one."""

    def __init__(self, text: str, errno: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, so that the server asks for nothing else.

    `stop_frees`: what a stop gives back. `logs`: "directory" when the backend writes the attempt's directory itself.
    `min_poll_s`: the shortest useful time between two `observe` calls.
    """

    stop_frees: Literal["all", "compute", "none"]
    logs: Literal["directory", "stream", "none"]
    min_poll_s: float


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine that the container sees at `target`, for reading only."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Container:
    """What a container is made of besides the program. `port` is what the engine listens on inside.

    `images` are tried in order: the first that the host has, else the last is pulled. `gpus` are indexes or UUIDs, or
    `all`; `gpu_count` is any that many instead. `user` is `UID:GID`, the image's own if None. `cache` is a folder
    inside that outlives the container, for what the engine downloads. `shm_bytes` is shared memory, Docker's default if
    None.
    """

    images: tuple[str, ...]
    port: int
    mounts: tuple[Mount, ...] = ()
    gpus: tuple[str, ...] = ()
    gpu_count: int | None = None
    user: str | None = None
    cache: str | None = None
    shm_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One attempt to be created: the intent, and the rendered program for hosts that run programs.

    `owner` is the id of this installation and `epoch` the lease epoch that commits the intent; both label the
    resource. `secrets` maps environment names to values that reach the engine but no argv, log or row.
    `directory` is the attempt's own, on this machine. `memory_limit` is in bytes of host memory, None for no limit.
    `container` is for hosts that run containers.
    """

    owner: str
    deployment: str
    instance: str
    epoch: int
    model: str
    engine: str
    argv: tuple[str, ...]
    directory: str
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    memory_limit: int | None = None
    container: Container | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How an engine ended. `signal` is set instead of `code` when a signal ended it; `at` is UTC microseconds.

    `oom` is the host's own word that memory ran out; `lost` means that the end was not witnessed (a power cut, or the
    keeper was killed), and then neither `code` nor `signal` is known and `at` is the last sign of life. `rebooted`:
    the machine went down with it, in good order or not. `boot_us` is `at` in microseconds of this machine's boot time,
    None where that is not known. `error` is the text of a start that never ran.
    """

    at: int
    code: int | None = None
    signal: int | None = None
    oom: bool = False
    lost: bool = False
    rebooted: bool = False
    boot_us: int | None = None
    error: str | None = None
    errno: int | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing of ours that a backend holds, found by its owner label.

    It is `preparing` while what it needs is brought to the host, and `progress` says in words how far that is;
    `started_at` is then when that began.

    `key` is the idempotency key it was created with (the attempt's id). `endpoint` is the base URL at which the
    engine listens, or will. `pid` is the engine's, on its host; `container` the id of what it runs in. Times are UTC
    microseconds.
    """

    key: str
    deployment: str
    instance: str
    epoch: int
    presence: Presence
    started_at: int
    pid: int | None = None
    endpoint: str | None = None
    exit: Exit | None = None
    container: str | None = None
    progress: str | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host is: its name, and host memory in bytes, total and available now."""

    name: str
    memory_total: int
    memory_available: int


class Backend(Protocol):
    """Where instances run. One file a backend, loaded by name from the entry point group `stoker.backends`."""

    capabilities: Capabilities

    async def probe(self) -> HostFacts:
        """The host as it is now. Raises CouldNotLook."""
        ...

    async def create(self, spec: InstanceSpec, key: str) -> None:
        """Start the attempt `key`. Idempotent: a second call with a live or ended `key` changes nothing.

        Raises BackendRefused when it can never be, CouldNotLook when it is unknown whether it was done.
        """
        ...

    async def observe(self) -> tuple[Resource, ...]:
        """Everything here that carries our owner label, in one look. Raises CouldNotLook."""
        ...

    async def stop(self, key: str, grace_s: float) -> None:
        """Ask the attempt to end, by force after `grace_s` seconds. Returns at once; a repeat is harmless."""
        ...

    async def delete(self, key: str) -> None:
        """Let go of an ended attempt: it is no longer observed, its directory stays. A repeat is harmless."""
        ...

    async def close(self) -> None:
        """End what was kept up to reach the host; called when nothing of ours is left to be reached there."""
        ...
