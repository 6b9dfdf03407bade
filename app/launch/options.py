"""What a launch or a change asks for, and the command that asks for it. None, or empty, leaves what is there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.variant import FlagValue


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `launch` and `change`. `memory` is bytes of host memory; a flag of "" is taken away.

    `image` is what to run instead of the engine's own; `gpus` is `all`, `count=N`, or indexes with commas. `size` is
    one of `app.domain.sizes.NAMES`; whatever else is given goes before what it sets. `force` goes past checks that fail
    by an estimate.
    """

    model: str | None = None
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
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    force: bool = False
    size: str | None = None


def command_words(options: Options) -> tuple[str, ...]:
    """The `stoker launch` that does the same. Values of variables are left out: they come from the environment then."""
    given: list[tuple[str, object]] = [
        ("--name", options.name),
        ("--size", options.size if options.size != "medium" else None),
        ("--engine", options.engine),
        ("--backend", options.backend),
        ("--host", options.host),
        ("--image", options.image),
        ("--gpus", options.gpus),
        ("--ctx", options.context),
        ("--seqs", options.seqs),
        ("--kv-type", options.kv_type),
        ("--replicas", options.replicas),
        ("--memory", options.memory),
        *(("--env", name) for name in options.env),
        *(("--set", key if value is True else f"{key}={value}") for key, value in options.flags.items()),
    ]
    words = [word for option, value in given if value is not None for word in (option, str(value))]
    return ("stoker", "launch", options.model or "", *words, *(["--force"] if options.force else []))
