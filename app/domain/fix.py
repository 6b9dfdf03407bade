"""A way to mend a failure, and what has to be known of a failure to find one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.fitting import Card, Memory
from app.domain.variant import FlagValue, ModelRef, VariantSpec

MOST = 9
"""Options of one failure: as many as there are keys for."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One option, number `k`. What it does is one of three.

    With `command`, a person runs it where the engine lives; it is copied, never run. With `spec`, that configuration
    is run instead of the failed one. With neither the same is started again, after its file was fetched anew if
    `refetch` says so. `title` names the change, `detail` says what speaks for it.
    """

    k: int
    title: str
    detail: str
    spec: VariantSpec | None = None
    command: str = ""
    refetch: bool = False

    @property
    def mends(self) -> bool:
        """Whether it does more than to try the same again."""
        return self.spec is not None or bool(self.command) or self.refetch


@dataclass(frozen=True, slots=True)
class Situation:
    """A failure and all that bears on mending it. What is not known is left out, and nothing is offered that needs it.

    `captured` are the numbers and names that the detector took from the evidence. `cards` are the GPUs of the machine
    that the engine runs on. `kv_types` and `flags` are those the engine has. `engines` are the same on other engines
    that can serve the model here, `install` is the command that installs its own. `siblings` are other files with the
    same model in them, of any quantisation; `returned` says that the model's own file is back. `fetched` says that
    stoker itself can fetch it, `repo` names where it is published.
    `unused` are models on this machine that no deployment needs, with their bytes, the largest first.
    `retried` says that it is tried again anyway, `unrecovered` that it has failed for so long that somebody else may
    have to look.
    """

    name: str
    code: str
    spec: VariantSpec
    evidence: str = ""
    captured: Mapping[str, str] = field(default_factory=dict)
    memory: Memory | None = None
    cards: Sequence[Card] = ()
    kv_types: Sequence[str] = ()
    flags: Sequence[str] = ()
    engines: Sequence[VariantSpec] = ()
    install: str = ""
    siblings: Sequence[ModelRef] = ()
    free_port: int | None = None
    returned: bool = False
    fetched: bool = False
    repo: str = ""
    unused: Sequence[tuple[str, int]] = ()
    retried: bool = False
    unrecovered: bool = False


Options = Iterator[Fix]


def option(title: str, detail: str, spec: VariantSpec | None = None) -> Fix:
    """An option that runs `spec`, or the same again."""
    return Fix(0, title, detail, spec)


def copied(title: str, command: str) -> Fix:
    """An option that a person carries out."""
    return Fix(0, title, command, command=command)


def resized(spec: VariantSpec, *, context: int | None = None, memory_limit: int | None = None) -> VariantSpec:
    """`spec` with another context or another limit of memory."""
    return replace(spec, context=context or spec.context, memory_limit=memory_limit or spec.memory_limit)


def flagged(spec: VariantSpec, more: Mapping[str, FlagValue], without: str = "") -> VariantSpec:
    """`spec` with more flags, or without one."""
    return replace(spec, flags={k: v for k, v in {**spec.flags, **more}.items() if k != without})


def digits_of(value: FlagValue) -> str:
    """The number in what somebody typed or an engine printed, and nothing else of it: it goes into a command."""
    match = re.search(r"\d+", str(value))
    return match[0] if match else ""
