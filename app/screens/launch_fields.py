"""The fields of the launch form: what they are called, what they may become, and the options that their texts mean."""

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.money import parse_amount
from app.domain.quantities import size, tokens
from app.domain.text import safe
from app.domain.variant import FlagValue
from app.launch.cache import names_in_cache
from app.launch.models import local_models
from app.launch.options import Options
from app.settings import Home, load_presets, load_settings
from app.store import hosts, read
from widgets.form import Field

AUTO = "auto"
"""The first choice of a field that need not be filled in."""
HERE = "this machine"
USUAL = "medium"
GO = "go"
NOVICE = ("model", "size", "name", GO)
ADVANCED = (
    *("model", "quant", "revision", "size", "name", "replicas", "mode", "key"),
    *("engine", "ctx", "seqs", "kv", "flags"),
    *("backend", "host", "gpus", "image", "memory", "env"),
    *("smart", "gpu", "region", "tier", "price"),
    GO,
)
_WITHOUT = (AUTO, HERE)


@dataclass(frozen=True, slots=True)
class Known:
    """What fields may become, as this machine and its configuration have it."""

    models: tuple[str, ...] = ("smollm2",)
    engines: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()


class BadField(ValueError):
    """A field whose text means nothing."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def form_fields(model: str, complete: Callable[[str], Callable[[str], Sequence[str]]]) -> Sequence[Field]:
    """All fields, in the order of ADVANCED. `complete` gives what completes the field of a key."""

    def hint(text: str) -> list[tuple[str, Any]]:
        return [(text, "dim")]

    return (
        Field(
            "model", "MODEL", model, "smollm2, a path, or a name on the hub", complete=complete("model"), heading="WHAT"
        ),
        Field("quant", "QUANT", placeholder="as published", hint=hint("which file of the hub's: Q4_K_M")),
        Field("revision", "REVISION", placeholder="main", hint=hint("branch, tag or commit")),
        Field("size", "SIZE", USUAL, choices=("small", USUAL)),
        Field("name", "NAME", placeholder="as the model"),
        Field("replicas", "REPLICAS", placeholder="1", hint=hint("instances behind one name")),
        Field("mode", "MODE", choices=("active", "flex"), hint=hint("billed always, or for its use")),
        Field("key", "KEY", choices=("no", "yes"), hint=hint("make one, which is shown once")),
        Field("engine", "ENGINE", choices=(AUTO,), heading="ENGINE"),
        Field("ctx", "CONTEXT", hint=hint("tokens of a request: 4096, 32k")),
        Field("seqs", "AT ONCE", hint=hint("requests of one replica")),
        Field("kv", "KV TYPE", hint=hint("f16, q8_0, q4_0, or K/V")),
        Field("flags", "FLAGS", hint=hint("the engine's own: key=value key")),
        Field("backend", "BACKEND", choices=(AUTO, "process", "docker"), heading="WHERE"),
        Field("host", "HOST", choices=(HERE,), hint=hint("one of `stoker hosts ls`")),
        Field("gpus", "GPUS", placeholder="none", complete=complete("gpus"), hint=hint("all, count=2, or 0,1")),
        Field("image", "IMAGE", placeholder="the engine's", complete=complete("image"), hint=hint("by tag or digest")),
        Field("memory", "MEMORY", placeholder="no limit", hint=hint("of the host, each: 400M, 2G")),
        Field("env", "VARIABLES", hint=hint("NAME, or NAME=value; kept apart")),
        Field("smart", "SMART", choices=("no", "yes"), hint=hint("wherever it is cheapest"), heading="PLACED"),
        Field("gpu", "GPU", placeholder="any", hint=hint("by name; GPUS is how many")),
        Field("region", "REGION", placeholder="any", hint=hint("of hosts, in your own words")),
        Field("tier", "TIER", placeholder="any", hint=hint("kind of capacity")),
        Field("price", "AT MOST", placeholder="any price", hint=hint("an hour: 1.50")),
        Field(GO, "", choices=("launch it",), hint=hint("enter; from anywhere ctrl+l")),
    )


def read_options(values: Mapping[str, str]) -> Options:
    """The options that the form's texts amount to; an empty one is left to its default. Raises BadField."""

    def take(field: str, parse: Callable[[str], Any]) -> Any:
        text = values.get(field, "").strip()
        try:
            return parse(text) if text and text not in _WITHOUT else None
        except ValueError as error:
            raise BadField(field, str(error)) from error

    chosen = take("size", str)
    return Options(
        model=values.get("model", "").strip(),
        quant=take("quant", str),
        revision=take("revision", str),
        name=take("name", str),
        engine=take("engine", str),
        backend=take("backend", str),
        context=take("ctx", tokens),
        seqs=take("seqs", _count),
        kv_type=take("kv", str),
        replicas=take("replicas", _count),
        memory=take("memory", size),
        host=take("host", str),
        image=take("image", str),
        gpus=take("gpus", str),
        mode="flex" if values.get("mode") == "flex" else None,
        smart=values.get("smart") == "yes",
        gpu=take("gpu", str),
        region=take("region", str),
        tier=take("tier", str),
        max_price=take("price", parse_amount),
        env=take("env", _variables) or {},
        flags=take("flags", _flags) or {},
        size=None if chosen == USUAL else chosen,
    )


def find_known(home: Home, typed: str, host: str | None) -> Known:
    """What is known now, `typed` being the model so far. Reads files and the store, so it belongs in a thread.

    Raises CONFIG_INVALID, and what `read.reading` raises.
    """
    settings, presets = load_settings(home), load_presets(home)
    images = [image for preset in presets.values() if preset.container for image in preset.container.images]
    return Known(
        models=("smollm2", *names_in_cache(home), *map(str, local_models(home)), *_paths(typed)),
        engines=tuple(presets),
        hosts=(*sorted(settings.hosts), *sorted(settings.simulated)),
        images=tuple(dict.fromkeys(images)),
        gpus=_gpus(home, host or "local"),
    )


def _gpus(home: Home, host: str) -> tuple[str, ...]:
    if not home.store.exists():
        return ()
    with read.reading(home.store) as connection:
        found = hosts.host(connection, host)
    indexes = tuple(str(gpu.index) for gpu in found.look.gpus) if found is not None else ()
    return ("all", *indexes, "count=1") if indexes else ()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1000:
        raise ValueError(f"`{safe(text, 80)}` is no number from 1 to 1000.")
    return int(text)


def _words(text: str) -> Iterable[tuple[str, str, str]]:
    return [word.partition("=") for word in shlex.split(text)]


def _flags(text: str) -> dict[str, FlagValue]:
    return {key.removeprefix("--"): value if equals else True for key, equals, value in _words(text)}


def _variables(text: str) -> dict[str, str]:
    found = {}
    for name, equals, value in _words(text):
        if not equals and name not in os.environ:
            raise ValueError(f"`{safe(name, 80)}` is not set where this console runs; give NAME=value.")
        found[name] = value if equals else os.environ[name]
    return found


def _paths(text: str) -> list[str]:
    """GGUF files and folders that a typed path may become; one look at one folder."""
    if "/" not in text:
        return []
    folder, _, start = text.rpartition("/")
    try:
        with os.scandir(Path(folder or "/").expanduser()) as found:
            entries = [e for e in found if e.name.startswith(start) and (e.is_dir() or e.name.endswith(".gguf"))][:20]
    except (OSError, RuntimeError):
        return []
    return sorted(f"{folder}/{e.name}" + ("/" if e.is_dir() else "") for e in entries)
