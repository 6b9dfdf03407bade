"""Whether a rollout may run two replicas at once on a host, and if not, the figures to say why."""

from app.domain.variant import VariantSpec
from backends.base import HostFacts

KV_BYTES_PER_TOKEN = 131_072
"""K and V of one token at 16 bits in a model of the 8-billion class: 2 · 32 layers · 8 heads · 128 · 2 bytes."""
RUNTIME_BYTES = 536_870_912
"""What an engine needs besides weights and cache: half a GiB."""


def needed_bytes(spec: VariantSpec) -> int:
    """Host memory that one more replica may need, in bytes: an upper guess, so that a rollout never causes an OOM."""
    guess = (spec.model.size or 0) + spec.context * spec.seqs * KV_BYTES_PER_TOKEN + RUNTIME_BYTES
    return guess if spec.memory_limit is None else min(guess, spec.memory_limit)


def no_room(spec: VariantSpec, host: HostFacts) -> str:
    """Why one more replica of `spec` does not fit on `host`, empty if it does."""
    needed = needed_bytes(spec)
    if needed <= host.memory_available:
        return ""
    return f"a second replica may need {_gib(needed)} GiB, {_gib(host.memory_available)} GiB are free"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
