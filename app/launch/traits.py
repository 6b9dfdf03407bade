"""What of a model decides who serves it, from its files: format, architecture, and how its weights are stored."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.domain.choice import Traits
from app.domain.failures import StokerError
from app.domain.variant import ModelRef
from app.domain.vram.config import read_shape
from app.domain.vram.fields import CONFIG_BYTES, parse_config
from app.launch.fit import facts_of, known_facts
from app.launch.models import at_hand
from app.launch.ranges import LocalFile
from app.settings import Home

MLX_FORM = "mlx"
"""Weights that mlx-lm has quantised are in a form of its own, which nobody else reads."""


def traits_of(model: ModelRef, home: Home) -> Traits:
    """What is known of `model`: more than its format if its files can be understood, here or on the hub."""
    found = at_hand(model, home)
    if found is None and model.source != "hub":
        return Traits(model.name, model.format)
    try:
        if model.source == "hub":
            facts = known_facts(model, home)
            return Traits(model.name, model.format, facts.shape.kind, facts.weights.quantisation, facts.shape.context)
        path = Path((found or model).path)
        path = path / "config.json" if path.is_dir() else path
        size, changed = (now := path.stat()).st_size, now.st_mtime_ns
        return _read(model.name, model.format, str(path), size, changed)
    except (StokerError, OSError):
        return Traits(model.name, model.format)  # what is wrong with it, the checks say


@lru_cache(maxsize=8)
def _read(name: str, form: str, path: str, size: int, changed: int) -> Traits:
    if form == "gguf":
        facts = facts_of(path)
        return Traits(name, form, facts.shape.kind, facts.weights.quantisation, facts.shape.context)
    if not path.endswith(".json"):
        return Traits(name, form)
    with LocalFile(Path(path)) as file:
        config = parse_config(file.read(0, min(file.size, CONFIG_BYTES + 1)))
    kind = config.get("model_type")
    traits = Traits(name, form, kind if isinstance(kind, str) else None)
    try:
        shape = read_shape(config)
    except StokerError:
        return traits  # an architecture that cannot be estimated may be served all the same
    return replace(traits, quantisation=MLX_FORM if _is_mlx(config) else shape.quantisation.name, context=shape.context)


def _is_mlx(config: Mapping[str, Any]) -> bool:
    described = config.get("quantization_config")
    return "quantization" in config and not (isinstance(described, dict) and "quant_method" in described)
