"""Whether a rollout may run two replicas at once on a host, and if not, the figures to say why."""

from app.domain.failures import StokerError
from app.domain.variant import VariantSpec
from app.launch.fit import Fit, fit
from app.settings import Home
from backends.base import HostFacts

KV_BYTES_PER_TOKEN = 131_072
"""K and V of one token at 16 bits in a model of the 8-billion class: 2 · 32 layers · 8 heads · 128 · 2 bytes."""
RUNTIME_BYTES = 536_870_912
"""What an engine needs besides weights and cache: half a GiB."""


def needed_bytes(spec: VariantSpec, home: Home) -> int:
    """Host memory that one more replica may need, in bytes, so that no rollout causes an OOM: the upper edge of the
    estimate, or an upper guess where nothing is known to estimate with."""
    found = _estimated(spec, home)
    guess = (spec.model.size or 0) + spec.context * spec.seqs * KV_BYTES_PER_TOKEN + RUNTIME_BYTES
    needed = guess if found is None or found.on_gpu else found.most
    return needed if spec.memory_limit is None else min(needed, spec.memory_limit)


def no_room(spec: VariantSpec, host: HostFacts, home: Home) -> str:
    """Why one more replica of `spec` does not fit on `host`, empty if it does. On GPUs their memory decides."""
    if spec.gpus:
        found = _estimated(spec, home)
        return f"a second replica: {found.estimate.why}" if found is not None and found.estimate.fits is False else ""
    needed = needed_bytes(spec, home)
    if needed <= host.memory_available:
        return ""
    return f"a second replica may need {_gib(needed)} GiB, {_gib(host.memory_available)} GiB are free"


def _estimated(spec: VariantSpec, home: Home) -> Fit | None:
    if spec.model.source == "hub" and not spec.model.files:
        return None  # its files are elsewhere, and a pass waits for no hub
    try:
        return fit(spec, home)
    except StokerError:
        return None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
