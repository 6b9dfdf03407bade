"""A variant to store."""

from typing import Any

from app.domain.variant import ModelRef, VariantSpec


def spec(**changes: Any) -> VariantSpec:
    """A sound variant with `changes`."""
    values: dict[str, Any] = {
        "model": ModelRef("smollm2", "bundled", "/models/smollm2.gguf", size=94_000_000),
        "engine": "llama.cpp",
        "backend": "process",
        "context": 4096,
        "seqs": 4,
        "kv_type": "f16",
    }
    return VariantSpec(**{**values, **changes})
