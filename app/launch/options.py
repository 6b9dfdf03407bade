"""What a launch or a change asks for. None, or empty, leaves the default or the present value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.plans import Mode
from app.domain.variant import FlagValue


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `launch` and `change`. `memory` is bytes of host memory; a flag of "" is taken away.

    `quant` or `file` chooses among the files of a repository, `revision` is one of it.
    `image` is what to run instead of the engine's own; `gpus` is `all`, `count=N`, or indexes and UUIDs. With `smart`
    it runs wherever `gpu` (a name), so many `gpus`, `region`, `tier`, `max_price` (micro-units an hour), `backend` and
    `host` allow. `size` is one of `app.domain.sizes.NAMES`; whatever else is given goes before what it sets. `force`
    goes past checks that fail by an estimate.
    """

    model: str | None = None
    quant: str | None = None
    file: str | None = None
    revision: str | None = None
    name: str | None = None
    engine: str | None = None
    backend: str | None = None
    context: int | None = None
    seqs: int | None = None
    kv_type: str | None = None
    replicas: int | None = None
    memory: int | None = None
    host: str | None = None
    image: str | None = None
    gpus: str | None = None
    mode: Mode | None = None
    smart: bool = False
    gpu: str | None = None
    region: str | None = None
    tier: str | None = None
    max_price: int | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    force: bool = False
    size: str | None = None
