"""What a launch or a change asks for, and the command that asks for it. None, or empty, leaves what is there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.money import format_amount
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


def command_words(options: Options) -> tuple[str, ...]:
    """The `stoker launch` that does the same. Values of variables are left out: they come from the environment then."""
    given: list[tuple[str, object]] = [
        ("--name", options.name),
        ("--size", options.size if options.size != "medium" else None),
        ("--quant", options.quant),
        ("--file", options.file),
        ("--revision", options.revision),
        ("--engine", options.engine),
        ("--backend", options.backend),
        ("--host", options.host),
        ("--image", options.image),
        ("--gpus", options.gpus),
        ("--ctx", options.context),
        ("--seqs", options.seqs),
        ("--kv-type", options.kv_type),
        ("--replicas", options.replicas),
        ("--mode", options.mode),
        ("--memory", options.memory),
        ("--smart", True if options.smart else None),
        ("--gpu", options.gpu),
        ("--region", options.region),
        ("--tier", options.tier),
        ("--max-price", None if options.max_price is None else format_amount(options.max_price)),
        *(("--env", name) for name in options.env),
        *(("--set", key if value is True else f"{key}={value}") for key, value in options.flags.items()),
    ]
    words = [
        w for option, value in given if value is not None for w in ([option] if value is True else [option, str(value)])
    ]
    return ("stoker", "launch", options.model or "", *words, *(["--force"] if options.force else []))
