"""What a configuration could be on GPUs that it has not run on: more of something, or less where it does not fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.domain.vram.estimate import estimate
from app.domain.vram.quants import cache_bits
from app.domain.vram.setup import Setup
from app.domain.vram.shape import Shape
from app.domain.vram.solve import best_quantisation, largest_context, most_layers, most_sequences
from app.domain.vram.weights import Weights

LEAST_CONTEXT = 512
"""Below this a chat model is of no use, so less is never offered."""
_MOST_SEQS = 1_024
_MORE = 1.25
"""What is less than a quarter more is not worth a word."""


@dataclass(frozen=True, slots=True)
class Possible:
    """One thing that could be otherwise: in words, and the option of `change` that makes it so, empty if none does."""

    text: str
    option: str = ""

    def __str__(self) -> str:
        return f"{self.text} (`{self.option}`)" if self.option else self.text


def more(shape: Shape, weights: Weights, setup: Setup) -> Iterator[Possible]:
    """What else fits where `setup` does: a longer context, more at once; each with all else as it is."""
    context = largest_context(shape, weights, setup) or 0
    if context >= setup.context * _MORE or (context > setup.context and context == shape.context):
        yield Possible(f"{context:,} tokens of context instead of {setup.context:,}", f"--ctx {context}")
    seqs = min(_MOST_SEQS, most_sequences(shape, weights, setup) or 0)
    if setup.seqs and seqs >= setup.seqs * _MORE:
        yield Possible(f"{seqs:,} at once instead of {setup.seqs:,}", f"--seqs {seqs}")


def less(shape: Shape, weights: Weights, setup: Setup, kv_types: Sequence[str]) -> Iterator[Possible]:
    """What would fit where `setup` does not; each with all else as it is, the least loss first."""
    now = max(cache_bits(setup.kv_type))
    for kv_type in sorted(kv_types, key=lambda kind: -max(cache_bits(kind))):
        cheaper = max(cache_bits(kv_type)) < now
        if cheaper and estimate(shape, weights, replace(setup, kv_type=kv_type)).fits:
            yield Possible(f"a cache of {kv_type}", f"--kv-type {kv_type}")
            break
    context = largest_context(shape, weights, setup) or 0
    if LEAST_CONTEXT <= context < setup.context:
        yield Possible(f"{context:,} tokens of context instead of {setup.context:,}", f"--ctx {context}")
    seqs = most_sequences(shape, weights, setup) or 0
    if setup.seqs and 0 < seqs < setup.seqs:
        yield Possible(f"{seqs:,} at once instead of {setup.seqs:,}", f"--seqs {seqs}")
    layers = most_layers(shape, weights, setup) or 0
    if 0 < layers < len(shape.layers) + 1 and "n-gpu-layers" not in setup.flags:
        yield Possible(f"{layers} layers on the GPU, the rest on the processor", f"--set n-gpu-layers={layers}")
    form = best_quantisation(shape, setup)
    if form is not None and form != weights.quantisation:
        yield Possible(f"weights stored as {form}")
