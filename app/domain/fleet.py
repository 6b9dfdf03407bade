"""What a look at the whole installation shows, and how far it can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain.facts import Deployment
from app.domain.findings import Finding
from app.domain.variant import VariantSpec

STALE_AFTER_US = 5_000_000
"""A server that has given no sign of life for this long is not answering."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far the weights of a variant are on their way: bytes that are here, of how many, and bytes a second."""

    done: int
    total: int
    rate: int = 0


ProcessState = Literal["running", "starting", "down"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the facts in the store are.

    `observed_at` is the server's last sign of life in UTC microseconds, None when it cannot be known (no server ever
    ran, or not since the machine started). `answering` says that facts are current.
    """

    server: ProcessState
    observed_at: int | None
    answering: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """Deployments by name, the specs of their variants by id, the gateway's base URL if it runs, and the time.

    `fetches` says how far weights are that are on their way, by the id of their variant.
    `milestones` says by attempt id how far each start has come that is under way, or came.
    """

    deployments: Sequence[Deployment]
    specs: Mapping[str, VariantSpec]
    freshness: Freshness
    endpoint: str | None
    now: int
    fetches: Mapping[str, Fetched] = field(default_factory=dict)
    milestones: Mapping[str, Finding] = field(default_factory=dict)


def process_state(announced: Mapping[str, Any] | None) -> ProcessState:
    """What is announced in a lock file means: None, nobody holds it; empty, its holder is on its way."""
    if announced is None:
        return "down"
    return "running" if announced else "starting"


def freshness(server: ProcessState, beat: tuple[str, int] | None, boot_id: str, boot_us: int, now: int) -> Freshness:
    """Judge the server's last `beat` (boot id, microseconds of that boot) at boot time `boot_us` and UTC time `now`."""
    if beat is None or beat[0] != boot_id:
        return Freshness(server, None, False)
    age = max(0, boot_us - beat[1])
    return Freshness(server, now - age, server == "running" and age < STALE_AFTER_US)
