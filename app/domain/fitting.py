"""What would fit where memory ran out: the estimate of a configuration, corrected by what has just been seen.

A failure proves something that no formula does: that this configuration needed more than there was. So where the
estimate says that it fits, the estimate is raised until it does not, and every figure offered is of the raised one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.domain.failures import StokerError
from app.domain.variant import VariantSpec
from app.domain.vram.quants import cache_bits

Estimate = Callable[[VariantSpec], int | None]
"""Bytes that a configuration needs at the place where memory ran out; None if that cannot be told."""

CONTEXT_STEP = 256
"""Contexts are offered in steps of this many tokens, as KV caches are padded."""
LEAST_CONTEXT = 512
"""Below this a chat model is of no use, so less is never offered."""
_MARGIN = 1.02
"""What is offered leaves a fiftieth of the room free: two starts of one configuration never take quite the same."""

_UNKNOWN_BITS = 16.0
"""What a type of cache that nobody has heard of is taken to have for each number."""
_OFFERED = ("fp8", "q8_0", "q4_0")
"""Cheaper cache types worth offering, the best first; those between lose as much and save less."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU that the engine could use: its number, and its memory in bytes, all of it and what was free lately."""

    index: int
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that ran out: `room` bytes of it, what `estimate` says, and what it is called (`600 MiB allowed`).

    `short` is how many bytes the engine itself said were missing, 0 if it did not. `card` is the number of the GPU
    whose memory it is, None if it is the host's or that is not known.
    """

    room: int
    estimate: Estimate
    called: str = "free"
    short: int = 0
    card: int | None = None

    def after(self, failed: VariantSpec) -> "Memory":
        """The same with the estimate raised until it agrees that `failed` did not fit."""
        said = self.estimate(failed)
        if said is None:
            return self
        missing = max(0, self.room + max(self.short, 1) - said)
        if not missing:
            return self

        def raised(spec: VariantSpec) -> int | None:
            found = self.estimate(spec)
            return None if found is None else found + missing

        return replace(self, estimate=raised)

    def needed(self, spec: VariantSpec) -> int | None:
        """Bytes to plan with for `spec`; None if that cannot be told."""
        found = self.estimate(spec)
        return None if found is None else int(found * _MARGIN)

    def fits(self, spec: VariantSpec) -> bool:
        """Whether `spec` fits; a configuration that nothing is known of does not."""
        needed = self.needed(spec)
        return needed is not None and needed <= self.room


def smaller_context(spec: VariantSpec, memory: Memory) -> VariantSpec | None:
    """`spec` with the largest context below its own that fits; None if none does that is of any use."""
    low, high = LEAST_CONTEXT // CONTEXT_STEP, (spec.context - 1) // CONTEXT_STEP
    if high < low or not memory.fits(replace(spec, context=low * CONTEXT_STEP)):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if memory.fits(replace(spec, context=middle * CONTEXT_STEP)):
            low = middle
        else:
            high = middle - 1
    return replace(spec, context=low * CONTEXT_STEP)


def fewer_sequences(spec: VariantSpec, memory: Memory) -> VariantSpec | None:
    """`spec` with as many sequences at once, fewer than its own, as fit; None if not even one does."""
    return next((s for n in range(spec.seqs - 1, 0, -1) if memory.fits(s := replace(spec, seqs=n))), None)


def cheaper_caches(spec: VariantSpec, kv_types: Sequence[str]) -> Iterator[VariantSpec]:
    """`spec` with each cheaper type of KV cache that its engine has and that is worth having, the best first."""
    try:
        now = max(cache_bits(spec.kv_type))
    except StokerError:
        now = _UNKNOWN_BITS
    for kv_type in _OFFERED:
        if kv_type in kv_types and max(cache_bits(kv_type)) < now:
            yield replace(spec, kv_type=kv_type)


def bytes_of(needed: int, room: int) -> str:
    """`23.1 of 24.0 GiB`, in the unit that suits the larger one."""
    unit, name = (2**30, "GiB") if max(needed, room) >= 2**30 else (2**20, "MiB")
    digits = 1 if name == "GiB" else 0
    return f"{needed / unit:,.{digits}f} of {room / unit:,.{digits}f} {name}"
