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
from app.launch.fit import facts_of
from app.launch.models import at_hand
from app.launch.ranges import LocalFile
from app.settings import Home

MLX_FORM = "mlx"
"""Weights that mlx-lm has quantised are in a form of its own, which nobody else reads."""


def traits_of(model: ModelRef, home: Home) -> Traits:
    """What is known of `model`: more than its format if its files are on this machine and can be understood."""
    found = at_hand(model, home)
    if found is None or model.source == "hub":
        return Traits(model.name, model.format)
    path = Path(found.path)
    try:
        path = path / "config.json" if path.is_dir() else path
        facts = path.stat()
        return _read(model.name, model.format, str(path), facts.st_size, facts.st_mtime_ns)
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
