"""The sizes that a launch may have where it would run, and a configuration made one of them."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.domain.engines import Preset
from app.domain.failures import StokerError
from app.domain.sizes import SMALL_CONTEXT, USES, Size, Weighed, sizes
from app.domain.variant import VariantSpec
from app.launch.facts import ModelFacts
from app.launch.fit import facts_of, fit
from app.launch.models import resolve
from app.settings import Home

_MOST_FILES = 8
"""So many other files of a model are read, the largest first."""


def size_up(usual: VariantSpec, preset: Preset, home: Home) -> tuple[Size, ...]:
    """The sizes of `usual`, which is `medium`; none where nothing is known of the place or the model.

    Raises what `fit` raises.
    """
    found = fit(usual, home)
    if found is None:
        return ()
    others = _lighter(usual.model.path, found.facts) if usual.model.source == "file" else iter(())
    return sizes(Weighed(found.facts.shape, found.facts.weights), found.setup, preset.kv_types, others)


def sized(usual: VariantSpec, wanted: str, preset: Preset, home: Home) -> VariantSpec:
    """`usual` in the size called `wanted`. Raises CONFIG_INVALID where there is no such size, naming those there are.

    What is small or usual is so anywhere, also where nothing can be estimated.
    """
    if wanted == "medium":
        return usual
    try:
        known = size_up(usual, preset, home)
    except StokerError:
        known = ()
    size = next((each for each in known if each.name == wanted), None)
    if size is None and wanted == "small":
        return replace(usual, context=min(usual.context, SMALL_CONTEXT), seqs=1)
    if size is None:
        names = ", ".join(each.name for each in known) or ", ".join(USES[:2])
        raise StokerError("CONFIG_INVALID", f"There is no size `{wanted}` for it here.", f"There are: {names}.")
    return replace(
        usual,
        model=usual.model if size.model is None else resolve(size.model, home),
        context=size.context,
        seqs=size.seqs,
        kv_type=size.kv_type,
        flags={**usual.flags, **size.flags},
    )


def _lighter(path: str, known: ModelFacts) -> Iterator[Weighed]:
    """Smaller GGUF files beside `path` that hold the same model, the largest first."""
    here = Path(path)
    try:
        with os.scandir(here.parent) as entries:
            found = [(e.stat().st_size, e.path) for e in entries if e.name.endswith(".gguf") and e.is_file()]
        size = here.stat().st_size
    except OSError:
        return
    for _, other in sorted((each for each in found if each[0] < size), reverse=True)[:_MOST_FILES]:
        try:
            facts = facts_of(other)
        except StokerError:
            continue
        shape = facts.shape
        if (shape.width, len(shape.layers), shape.heads) == (
            known.shape.width,
            len(known.shape.layers),
            known.shape.heads,
        ):
            yield Weighed(shape, facts.weights, other)
