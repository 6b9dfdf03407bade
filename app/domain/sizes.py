"""Sizes of a launch: what a newcomer chooses among instead of numbers, each reckoned for the memory that is there.

Three are made for a use. Where the middle one does not fit there are more: each gives up one thing, and as little of it
as the estimator, asked backwards, says is needed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from app.domain.variant import FlagValue
from app.domain.vram.estimate import estimate
from app.domain.vram.setup import Setup
from app.domain.vram.shape import Shape
from app.domain.vram.solve import largest_context, most_layers, most_sequences
from app.domain.vram.weights import Weights

USES = ("small", "medium", "large")
GIVING_UP = ("less-context", "fewer-at-once", "smaller-cache", "smaller-weights", "cpu-offload")
"""What is given up where `medium` does not fit."""
NAMES = (*USES, *GIVING_UP)

SMALL_CONTEXT = 4_096
"""Tokens of a chat of some pages, for one person."""
LEAST_CONTEXT = 512
"""Below this a chat model is of no use, so less is never offered."""
_CACHES = ("fp8", "q8_0", "q4_0")
"""Cheaper cache types worth offering, the best first."""

Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True, slots=True)
class Size:
    """One size: its name, what it sets, and how it fits. `model` is the path of another file, None for the same.

    `need` is bytes of the GPU that takes most, or of host memory, `room` what may be used there. `tight` is what fits
    while the estimate's upper edge does not.
    """

    name: str
    context: int
    seqs: int
    kv_type: str
    need: int
    room: int
    verdict: Verdict
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model as it could be loaded: its shape and weights; `path` is the file, where it is not the one asked for."""

    shape: Shape
    weights: Weights
    path: str | None = None


def sizes(model: Weighed, setup: Setup, kv_types: Sequence[str], others: Iterable[Weighed] = ()) -> tuple[Size, ...]:
    """The sizes of `model` on the GPUs, or the host, of `setup`; none where it names no place.

    `setup` has what an engine is started with by default, which is `medium`. `kv_types` are the caches that the engine
    has, `others` smaller files of the same model, the largest first; they are read only where they may be needed.
    Raises what `estimate` raises.
    """
    if not setup.gpus:
        return ()
    usual = replace(setup, seqs=setup.seqs or 1, context=min(setup.context, model.shape.context or setup.context))
    careful = _careful(model, usual)
    small = _sized("small", model, replace(usual, seqs=1, context=min(usual.context, SMALL_CONTEXT)))
    medium = _sized("medium", model, usual)
    found = [small, medium]
    longest = largest_context(model.shape, model.weights, careful) or 0
    if longest > medium.context:
        found.append(_sized("large", model, replace(usual, context=longest)))
    if medium.verdict == "no":
        files = tuple(others)
        # What leaves room for error goes before what just fits.
        offers = {offer[0]: offer for place in (usual, careful) for offer in _giving_up(model, place, kv_types, files)}
        found += [_sized(name, each, replace(way, gpus=usual.gpus)) for name, each, way in offers.values()]
    return tuple(found)


def _careful(model: Weighed, setup: Setup) -> Setup:
    """`setup` with as much less of memory as the estimate of it may be off: what is offered should fit for sure."""
    found = estimate(model.shape, model.weights, setup)
    off = -(-(found.band[1] - found.total) // len(found.per_gpu))
    return replace(setup, gpus=tuple(replace(gpu, free=max(0, gpu.room - off)) for gpu in setup.gpus))


def _giving_up(
    model: Weighed, usual: Setup, kv_types: Sequence[str], others: Sequence[Weighed]
) -> Iterator[tuple[str, Weighed, Setup]]:
    """What fits with one thing less than usual, by the name of that."""

    def fits(each: Weighed, setup: Setup) -> bool:
        return bool(estimate(each.shape, each.weights, setup).fits)

    context = largest_context(model.shape, model.weights, usual) or 0
    if LEAST_CONTEXT <= context < usual.context:
        yield "less-context", model, replace(usual, context=context)
    seqs = most_sequences(model.shape, model.weights, usual) or 0
    if 0 < seqs < (usual.seqs or 1):
        yield "fewer-at-once", model, replace(usual, seqs=seqs)
    caches = (replace(usual, kv_type=t) for t in _CACHES if t in kv_types and t != usual.kv_type)
    if (cheaper := next((setup for setup in caches if fits(model, setup)), None)) is not None:
        yield "smaller-cache", model, cheaper
    if (lighter := next((each for each in others if fits(each, usual)), None)) is not None:
        yield "smaller-weights", lighter, usual
    if not usual.gpus[0].host and (layers := most_layers(model.shape, model.weights, usual)):
        yield "cpu-offload", model, replace(usual, flags={**usual.flags, "n-gpu-layers": str(layers)})


def _sized(name: str, model: Weighed, setup: Setup) -> Size:
    found = estimate(model.shape, model.weights, setup)
    need, room = max(part.total for part in found.per_gpu), min(gpu.room for gpu in setup.gpus)
    close = need * found.band[1] > room * max(1, found.total)
    return Size(
        name,
        setup.context,
        setup.seqs or 1,
        setup.kv_type,
        need,
        room,
        "no" if not found.fits else "tight" if close else "fits",
        {"n-gpu-layers": setup.flags["n-gpu-layers"]} if name == "cpu-offload" else {},
        model.path,
    )
