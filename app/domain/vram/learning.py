"""What was measured here, put in the place of what is only estimated.

Of a start with the very settings everything holds that it said or was seen to take. Of one with others only what does
not hang on them: the weights of the same model, and what an engine keeps beside all buffers on a kind of GPU. Neither
cache nor graph is scaled: over the runs in `data/vram/measured.jsonl` that made estimates for other settings worse,
not better (`bench/vram.py` prints both). What is not known exactly only raises: the resident memory of a process,
which lacks the pages that nobody has touched yet, and what a driver counts before a request was served.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.vram.gpus import known_name
from app.domain.vram.peak import HOST, Learnt, Peak, Scope
from app.domain.vram.printed import Taken
from app.domain.vram.quants import cache_bits
from app.domain.vram.setup import FLAGS, SHARES, Component, Setup, claimed
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Weights

_SAME = 0.001
"""Two files of one model may differ by as much: by what is in their headers."""
_PLACING = ("tensor", "pipeline", "n-gpu-layers", "gpu-layers", "n-cpu-moe", "cpu-moe", "cpu-offload-gb")
"""Settings on which hangs what of the weights is where."""
_SAID: dict[Scope, tuple[str, ...]] = {
    "settings": ("weights", "kv", "state", "activation"),
    "model": ("weights",),
    "kind": (),
}
"""Components that the engine's own words settle, by how near the start was to what is asked."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Components as corrected, what was learnt, and the names of those components that are known by now."""

    parts: list[Component]
    learnt: Learnt | None = None
    known: frozenset[str] = frozenset()


def settings_of(setup: Setup) -> dict[str, Any]:
    """What of `setup` decides how much memory is taken, ready for JSON: equal where it comes to the same."""
    return {
        "context": setup.context,
        "seqs": setup.seqs or (1 if setup.engine == "llama.cpp" else None),
        "tensor": setup.tensor,
        "pipeline": setup.pipeline,
        "kv_bits": list(cache_bits(setup.kv_type)),
        "batch_tokens": setup.batch_tokens,
        "utilisation": setup.utilisation,
        "flash_attention": setup.flash_attention,
        **({} if setup.ubatch is None else {"ubatch-size": str(setup.ubatch)}),
        **{name: value for name, value in sorted(setup.flags.items()) if name in FLAGS and setup.on(name)},
    }


def place_of(setup: Setup) -> str | None:
    """Where `setup` would run, as peaks name it; None where no GPU is given."""
    gpu = setup.gpu(0)
    return None if gpu is None else HOST if gpu.host else known_name(gpu.name)


def learn(parts: list[Component], shape: Shape, weights: Weights, setup: Setup) -> Lesson:
    """`parts`, the estimate of `setup`, with what was measured of its like."""
    kin = _kin(shape, weights, setup) if setup.peaks else []
    if not kin:
        return Lesson(parts)
    scope, found = _nearest(kin, weights, settings_of(setup), len(parts))
    beside = [each.beside for peak in kin for each in peak.taken if each.beside is not None]
    settled = scope == "settings" and setup.engine not in SHARES and _counted_under_load(found)
    learnt = []
    for rank, part in enumerate(parts):
        seen = [peak.taken[rank] for peak in found] if scope != "kind" else []
        learnt.append(_corrected(part, seen, scope, max(beside, default=0), settled, setup))
    known = {name for name in _SAID[scope] if all(getattr(peak.taken[0], name) is not None for peak in found)}
    known |= {"weights", "kv", "state", "activation", "overhead"} if settled else {"overhead"} if beside else set()
    if not known and learnt == parts:
        return Lesson(parts)
    return Lesson(
        learnt, Learnt(scope, len({peak.start for peak in found}), any(peak.busy for peak in found)), frozenset(known)
    )


def _kin(shape: Shape, weights: Weights, setup: Setup) -> list[Peak]:
    """Peaks of the engine, the kind of GPU, the architecture and the quantisation; of several versions the last."""
    kind = (setup.engine, place_of(setup), shape.kind, weights.quantisation)
    found = [p for p in setup.peaks if (p.engine, p.place, p.architecture, p.quantisation) == kind]
    if setup.version:
        return [peak for peak in found if _numbers(peak.version)[: len(setup.version)] == setup.version]
    last = max(found, key=lambda peak: peak.at, default=None)
    return [peak for peak in found if last is not None and peak.version == last.version]


def _nearest(kin: list[Peak], weights: Weights, settings: dict[str, Any], count: int) -> tuple[Scope, list[Peak]]:
    """The peaks that are nearest to what is asked, and how near they are."""
    same = [p for p in kin if len(p.taken) == count and abs(p.weights - weights.total) <= _SAME * weights.total]
    exact = [peak for peak in same if peak.settings == settings]
    if exact:
        return "settings", exact
    near = [p for p in same if all(p.settings.get(name) == settings.get(name) for name in _PLACING)]
    return ("model", near) if near else ("kind", kin)


def _counted_under_load(found: Sequence[Peak]) -> bool:
    """Whether a driver counted all of a start that had served requests: then it is known what it takes."""
    counted = [peak for peak in found if peak.busy and all(each.total is not None for each in peak.taken)]
    return bool(counted) and found[0].place != HOST


def _corrected(
    part: Component, seen: Sequence[Taken], scope: Scope, beside: int, settled: bool, setup: Setup
) -> Component:
    """One GPU's components: what was said of them, and an overhead that comes to the most that was seen in all."""
    said = {name: max(values) for name in _SAID[scope] if (values := _values(seen, name))}
    learnt = replace(part, **said)
    totals = _values(seen, "total") if scope == "settings" and setup.engine not in SHARES else []
    rest = max(totals, default=0) - (learnt.total - learnt.overhead)
    learnt = replace(learnt, overhead=max(0, rest) if settled else max(part.overhead, beside, rest))
    if setup.engine not in SHARES:
        return claimed(learnt)
    rooms = _values(seen, "room") if scope == "settings" else []
    return replace(learnt, kv_room=min(rooms) if rooms else part.kv_room - (learnt.total - part.total))


def _values(seen: Sequence[Taken], name: str) -> list[int]:
    return [value for each in seen if (value := getattr(each, name)) is not None]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]{1,9}", version))
