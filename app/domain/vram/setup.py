"""What is asked of an engine, as far as memory depends on it, and what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.variant import FlagValue
from app.domain.vram.gpus import Gpu
from app.domain.vram.peak import Learnt, Peak
from app.domain.vram.weights import Basis

FLAGS = frozenset({
    "n-gpu-layers", "gpu-layers", "n-cpu-moe", "cpu-moe", "swa-full", "kv-unified", "no-kv-offload", "mla-attn",
    "ubatch-size", "enforce-eager", "kv-cache-memory-bytes", "cpu-offload-gb", "chunked-prefill-size",
    "disable-cuda-graph", "num-speculative-tokens",
})  # fmt: skip
"""Flags of engines that change an estimate."""
SHARES = frozenset({"vllm", "sglang"})
"""Engines that claim a share of the card, whatever they need."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How an engine would be started.

    `context` is tokens of one request; `seqs` the engine's own limit of requests at once (None: its default).
    `tensor` is how many GPUs share each layer, `pipeline` how many share the layers among them. `gpus` are all of one
    kind, or as many as tensor by pipeline; none if it is only asked what would be needed. `flags` are the engine's own
    as far as they change memory; others are ignored. `version` is the engine's, as numbers, empty if unknown. `peaks`
    are what starts were seen to take here; those of other engines, models or GPUs are left out of account.
    """

    engine: str
    context: int
    seqs: int | None = None
    gpus: tuple[Gpu, ...] = ()
    tensor: int = 1
    pipeline: int = 1
    kv_type: str = "auto"
    batch_tokens: int | None = None
    utilisation: float | None = None
    ubatch: int | None = None
    flash_attention: bool = True
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    version: tuple[int, ...] = ()
    peaks: Sequence[Peak] = ()

    @property
    def count(self) -> int:
        """GPUs that share the model."""
        return self.tensor * self.pipeline

    def gpu(self, rank: int) -> Gpu | None:
        """The GPU of `rank`; None if none is given."""
        return self.gpus[min(rank, len(self.gpus) - 1)] if self.gpus else None

    def on(self, flag: str) -> bool:
        """Whether a switch of the engine is set."""
        return self.flags.get(flag, False) not in (False, "0", "false", "off")

    def number(self, flag: str, default: int) -> int:
        """A whole number among the flags. Raises BAD_FLAG if it is none."""
        value = self.flags.get(flag)
        if value is None:
            return default
        if not isinstance(value, str) or not value.isascii() or not value.isdecimal() or len(value) > 12:
            raise StokerError("BAD_FLAG", f"`{flag}` takes a whole number, not `{safe(str(value), 40)}`.")
        return int(value)


@dataclass(frozen=True, slots=True)
class Component:
    """Bytes on one GPU: what is needed, what the engine will claim, and what of that is left for cache and state."""

    weights: int = 0
    kv: int = 0
    state: int = 0
    activation: int = 0
    overhead: int = 0
    reserved: int = 0
    kv_room: int = 0

    @property
    def total(self) -> int:
        """What the configuration needs."""
        return self.weights + self.kv + self.state + self.activation + self.overhead


def claimed(need: Component) -> Component:
    """`need` of an engine that claims what it needs, and no more."""
    return replace(need, reserved=need.total, kv_room=need.kv + need.state)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model would take, in bytes, one component a GPU.

    `host` is what stays in host memory. `kv_bytes_per_token` is per GPU over one sequence, `kv_tokens` how many tokens
    the room holds. `fits` is None where no GPU is given; `why` says what does not fit. `band` is about the sum of
    totals. `learnt` says what of it was measured here, None if nothing was.
    """

    per_gpu: tuple[Component, ...]
    host: int
    kv_bytes_per_token: int
    kv_tokens: int
    fits: bool | None
    band: tuple[int, int]
    basis: Basis
    why: str = ""
    learnt: Learnt | None = None

    @property
    def total(self) -> int:
        """What all GPUs together need."""
        return sum(part.total for part in self.per_gpu)

    def to_json(self, largest_context: int | None) -> dict[str, Any]:
        """The document of `estimate --json`, sizes in bytes. `largest_context` is the longest that fits.

        `measured` is in it only where something was.
        """
        names = ("weights", "kv", "state", "activation", "overhead", "total", "reserved", "kv_room")
        return {
            "per_gpu": [{name: getattr(part, name) for name in names} for part in self.per_gpu],
            "total": self.total,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "kv_tokens": self.kv_tokens,
            "fits": self.fits,
            "band": list(self.band),
            "max_ctx": largest_context,
            "basis": self.basis,
            **({} if self.learnt is None else {"measured": self.learnt.to_json()}),
        }
