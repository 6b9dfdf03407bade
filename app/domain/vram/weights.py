"""Bytes of weights, by how an engine may place and divide them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.domain.vram.shape import Layer, Quantisation, Shape

Basis = Literal["headers", "params", "given"]
"""Where the bytes come from: the files' own tables, parameters times bits, or somebody's word."""
Part = str | tuple[int, str]


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


def given(shape: Shape, total: int, quantisation: Quantisation | None = None) -> Weights:
    """`total` bytes that are loaded, divided among the parts as their parameters are.

    Where nothing says how the model is stored, its embedding and head take the bits that all numbers take on average.
    """
    form = quantisation or shape.quantisation
    guess = by_parameters(shape, form)
    if quantisation is None and total < 0.9 * guess.total:
        bits = total * 8 / max(1, shape.parameters)
        guess = by_parameters(shape, Quantisation(f"{bits:.2f} bits", bits, bits, bits))
    # What is published in 16 bits is known better than the rest: only the layers are fitted to the sum.
    outside = guess.embedding + guess.head + guess.extra
    inside = guess.total - outside
    factor = (total - outside) / inside if inside and outside < total else 0.0
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
_TOWER = re.compile(r"vision|visual|audio|multi_modal_projector|^v\.|^mm\.")
_DRAFT = re.compile(r"(?:^|\.)mtp\.|nextn|eagle")
_FIXED = re.compile(r"norm|_a_proj|attn_(?:q|kv)_a|gate_inp|router|mlp\.gate\.|indexer|bias$")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file's table: its name, how many numbers, how many bytes."""

    name: str
    elements: int
    size: int


def from_tensors(shape: Shape, tensors: Sequence[Tensor]) -> Weights:
    """Exact bytes from the tables of the files."""
    parts = sorted_out(tensors, len(shape.layers))
    sizes = {part: sum(tensor.size for tensor in found) for part, found in parts.items()}
    layers = tuple(
        LayerWeights(*(float(sizes.get((i, kind), 0)) for kind in ("divided", "caches", "experts", "fixed")))
        for i in range(len(shape.layers))
    )
    # A file may hold the head beside the embedding that it is.
    head = 0.0 if shape.tied else float(sizes.get("head", 0))
    return Weights("headers", sizes.get("embedding", 0), head, layers, sizes.get("extra", 0), _commonest(tensors))


def sorted_out(tensors: Sequence[Tensor], layers: int) -> dict[Part, list[Tensor]]:
    """Tensors by their part: embedding, head, extra, or a layer and its kind; what speculates is left out."""
    parts: dict[Part, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        if (part := _part(tensor.name, layers)) is not None:
            parts[part].append(tensor)
    return parts


def _part(name: str, layers: int) -> Part | None:
    match = _LAYER.search(name)
    if _DRAFT.search(name):
        return None
    if _TOWER.search(name):
        return "extra"
    if match is None:
        return "embedding" if _EMBEDDING.search(name) else "head" if _HEAD.search(name) else "extra"
    if (index := int(match[1])) >= layers:
        return None
    kinds = (("experts", _EXPERT), ("fixed", _FIXED), ("caches", _CACHE))
    return index, next((kind for kind, pattern in kinds if pattern.search(name)), "divided")


def _commonest(tensors: Sequence[Tensor]) -> str:
    """Bits that a number takes on average, for people."""
    elements = sum(tensor.elements for tensor in tensors)
    return f"{sum(tensor.size for tensor in tensors) * 8 / elements:.1f} bits" if elements else "nothing"
