"""Bytes of weights, by how an engine may place and divide them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from app.domain.vram.shape import Layer, Quantisation, Shape

Basis = Literal["headers", "params", "given"]
"""Where the bytes come from: the files' own tables, parameters times bits, or somebody's word."""


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Bytes of one layer: `divided` by tensor parallelism, `caches` (K and V) by at most the heads, `fixed` not."""

    divided: float = 0.0
    caches: float = 0.0
    experts: float = 0.0
    fixed: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.divided + self.caches + self.experts + self.fixed

    def times(self, factor: float) -> "LayerWeights":
        """The same, each `factor` as large."""
        return LayerWeights(self.divided * factor, self.caches * factor, self.experts * factor, self.fixed * factor)


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a model's weights. `head` is 0 where it is tied; `extra` is what every GPU keeps whole."""

    basis: Basis
    embedding: float
    head: float
    layers: tuple[LayerWeights, ...]
    extra: float = 0.0
    quantisation: str = "bf16"

    @property
    def total(self) -> float:
        """All bytes, as the files hold them."""
        return self.embedding + self.head + self.extra + sum(layer.total for layer in self.layers)


def by_parameters(shape: Shape, quantisation: Quantisation | None = None) -> Weights:
    """Parameters times bits. `quantisation` is how the model would be stored if not as its configuration says."""
    form = quantisation or shape.quantisation
    return Weights(
        "params",
        embedding=shape.embedding * form.embedding / 8,
        head=shape.head * form.head / 8 if not shape.tied else 0.0,
        layers=tuple(_layer(layer, form) for layer in shape.layers),
        extra=shape.extra * 2.0 + shape.width * form.fixed / 8,
        quantisation=form.name,
    )


def _layer(layer: Layer, form: Quantisation) -> LayerWeights:
    attention = form.linear if form.attention is None else form.attention
    experts = form.linear if form.experts is None else form.experts
    shared = form.linear if form.shared is None else form.shared
    return LayerWeights(
        divided=(layer.attention * attention + layer.mlp * form.linear + layer.shared * shared) / 8,
        caches=layer.kv_weights * attention / 8,
        experts=layer.experts * experts / 8,
        fixed=layer.fixed * form.fixed / 8,
    )


def given(shape: Shape, total: int, quantisation: Quantisation | None = None, *, draft: bool = False) -> Weights:
    """`total` bytes, divided among the parts as their parameters are.

    Where nothing says how the model is stored, its embedding and head take the bits that all numbers take on average.
    `draft`: the bytes hold layers that only speculate too (a checkpoint's do), which are then left out.
    """
    form = quantisation or shape.quantisation
    guess = by_parameters(shape, form)
    if quantisation is None and total < 0.9 * guess.total:
        bits = total * 8 / max(1, shape.parameters)
        guess = by_parameters(shape, Quantisation(f"{bits:.2f} bits", bits, bits, bits))
    beside = sum(_layer(layer, form).total for layer in shape.draft) if draft else 0.0
    # What is published in 16 bits is known better than the rest: only the layers are fitted to the sum.
    outside = guess.embedding + guess.head + guess.extra
    inside = guess.total - outside
    factor = (total - outside) / (inside + beside) if inside and outside < total else 0.0
    if factor > 0:
        layers = tuple(layer.times(factor) for layer in guess.layers)
        return replace(guess, basis="given", layers=layers)
    return _scaled(guess, total)


def _scaled(guess: Weights, total: int) -> Weights:
    factor = total / guess.total if guess.total else 0.0
    return replace(
        guess,
        basis="given",
        embedding=guess.embedding * factor,
        head=guess.head * factor,
        extra=guess.extra * factor,
        layers=tuple(layer.times(factor) for layer in guess.layers),
    )


_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blk|blocks|layer)\.([0-9]{1,4})\.")
_EMBEDDING = re.compile(
    r"embed_tokens|token_embd\.|\bwte\b|word_embeddings\.|tok_embeddings|embed_in|embeddings\.weight"
)
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|output|embed_out|output_layer)\.(?!norm)")
_EXPERT = re.compile(r"experts\.(?!gate\b)|_exps\.|block_sparse_moe\.experts")
_CACHE = re.compile(r"k_proj|v_proj|attn_[kv]\.")
_FIXED = re.compile(r"norm|_a_proj|attn_(?:q|kv)_a|gate_inp|router|mlp\.gate\.|indexer|bias$")


def from_tensors(shape: Shape, tensors: Mapping[str, int] | Iterable[tuple[str, int]]) -> Weights:
    """Exact bytes from the tables of the files: names of tensors and their bytes."""
    embedding = head = extra = 0.0
    layers = [LayerWeights() for _ in shape.layers]
    for name, size in tensors.items() if isinstance(tensors, Mapping) else tensors:
        match = _LAYER.search(name)
        index = int(match[1]) if match else -1
        if match and ("vision" in name or "visual" in name):
            extra += size
        elif match and index < len(layers):
            layers[index] = _added(layers[index], name, size)
        elif match:
            pass  # a layer that only speculates
        elif _EMBEDDING.search(name):
            embedding += size
        elif _HEAD.search(name):
            head += size
        else:
            extra += size
    if shape.tied and embedding:
        head = 0.0  # a file may hold the head beside the embedding that it is
    return Weights("headers", embedding, head, tuple(layers), extra, shape.quantisation.name)


def _added(layer: LayerWeights, name: str, size: int) -> LayerWeights:
    if _EXPERT.search(name):
        return replace(layer, experts=layer.experts + size)
    if _FIXED.search(name):
        return replace(layer, fixed=layer.fixed + size)
    if _CACHE.search(name):
        return replace(layer, caches=layer.caches + size)
    return replace(layer, divided=layer.divided + size)
