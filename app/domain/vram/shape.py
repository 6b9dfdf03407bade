"""What of a model's architecture decides how much memory it takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what it keeps for each token or sequence, and its parameters by how they are divided among GPUs.

    `key` and `value` are cached numbers per token, of `kv_heads` heads; with `latent` they are one vector that every
    rank of a tensor split keeps whole (multi-head latent attention). `full_key` and `full_value` are what such a layer
    caches where an engine does not use the latent form; `index` is bytes per token of an indexer's own cache. `window`
    bounds how many tokens are cached. `conv` and `state` are numbers per sequence, whatever its length. A layer that
    reuses another's cache has none of its own.

    Parameters: `attention` and `mlp` are divided by tensor parallelism, `kv_weights` by at most `kv_heads`, `fixed`
    not at all; `experts` are the routed ones, `shared` those of a mixture that every token passes.
    """

    key: int = 0
    value: int = 0
    kv_heads: int = 0
    latent: bool = False
    full_key: int = 0
    full_value: int = 0
    index: int = 0
    window: int | None = None
    conv: int = 0
    state: int = 0
    attention: int = 0
    kv_weights: int = 0
    mlp: int = 0
    experts: int = 0
    shared: int = 0
    fixed: int = 0

    @property
    def parameters(self) -> int:
        """All parameters of the layer."""
        return self.attention + self.kv_weights + self.mlp + self.experts + self.shared + self.fixed


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How the weights are stored: bits for each number of a kind, block scales included.

    `linear` is for the matrices of the layers, `attention`, `experts` and `shared` override it. `name` is how people
    call it.
    """

    name: str
    linear: float
    embedding: float
    head: float
    attention: float | None = None
    experts: float | None = None
    shared: float | None = None
    fixed: float = 16.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A model as the estimator sees it.

    `width` is the hidden size, `inner` the width of the widest feed-forward that every token passes and `expert_inner`
    that of one routed expert. `embedding` and `head` are parameters: the head has none where it is tied. `extra` are
    parameters outside the text model that every GPU keeps (a vision tower), `draft` those of layers that only
    speculate. `state_bits` is the type of recurrent states. `context` is the longest the model was made for, None if
    that is not said. `causal` is False for encoders, which cache nothing.
    """

    kind: str
    width: int
    heads: int
    head_dim: int
    inner: int
    vocabulary: int
    layers: tuple[Layer, ...]
    embedding: int
    head: int
    tied: bool
    quantisation: Quantisation
    context: int | None = None
    expert_inner: int = 0
    experts: int = 0
    experts_used: int = 0
    state_bits: int = 16
    extra: int = 0
    draft: tuple[Layer, ...] = ()
    causal: bool = True

    @property
    def parameters(self) -> int:
        """Parameters of the text model; what only speculates and a vision tower are not among them."""
        return self.embedding + self.head + self.width + sum(layer.parameters for layer in self.layers)

    @property
    def recurrent(self) -> bool:
        """Whether some layer keeps a state instead of, or beside, a cache."""
        return any(layer.state or layer.conv for layer in self.layers)
