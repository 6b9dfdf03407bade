"""Engine presets, and the command that a variant becomes. Presets are data; see `assets/engines.toml`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Any

from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec

CONTAINERS = "docker"
"""The backend whose engines run in containers."""
WEIGHTS = "/models"
"""Where the weights are mounted in a container."""
_GPU = re.compile(r"\d{1,3}|(GPU|MIG)-[0-9A-Fa-f-]{4,40}|MIG-GPU-[0-9A-Fa-f-]{4,40}/\d{1,2}/\d{1,2}")
_OPTIONAL = frozenset({"module", "container"})


@dataclass(frozen=True, slots=True)
class Box:
    """How an engine runs in a container: `images` in the order in which they are tried, the last one is pulled.

    `command` replaces the preset's; `arguments` come after the preset's own. `port` is what it listens on inside,
    `cache` a folder inside where it keeps what it downloads, `shm_bytes` the shared memory that it needs. `pin` are
    the arguments that hold it to one revision of what it downloads.
    """

    images: tuple[str, ...]
    command: tuple[str, ...]
    port: int
    arguments: tuple[str, ...] = ()
    cache: str | None = None
    shm_bytes: int | None = None
    pin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """How one engine is started and recognised. `context` and `seqs` are the defaults of a launch.

    An engine without a `command` runs in containers only. `key_env` is empty where an engine can be given no key.
    """

    name: str
    formats: tuple[str, ...]
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    owned: tuple[str, ...]
    key_env: str
    health: str
    context: int
    seqs: int
    kv_types: tuple[str, ...]
    module: str | None = None
    container: Box | None = None


def parse_presets(data: Mapping[str, Any]) -> dict[str, Preset]:
    """Presets from parsed TOML. A missing or unknown field is CONFIG_INVALID naming engine and field."""
    known = {f.name for f in fields(Preset)} - {"name"}
    presets = {}
    for name, table in data.items():
        given = set(table) if isinstance(table, dict) else set()
        if wrong := given - known or known - given - _OPTIONAL:
            word = "unknown" if given - known else "missing"
            raise StokerError("CONFIG_INVALID", f"engines.toml: {word} field `{min(wrong)}` of engine `{name}`.")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        if "container" in values:
            values["container"] = _parse_box(name, values["container"])
        presets[name] = Preset(name=name, **values)
    return presets


def _parse_box(name: str, table: Any) -> Box:
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        return Box(**values)
    except (TypeError, AttributeError) as error:
        raise StokerError("CONFIG_INVALID", f"engines.toml: `container` of engine `{name}`: {error}.") from error


def render_command(preset: Preset, spec: VariantSpec, name: str, python: str, threads: int) -> tuple[str, ...]:
    """The argv that starts `spec` as deployment `name`: the preset's own arguments, then the user's flags.

    For a container it is what runs inside, where the weights are below `WEIGHTS`.

    The engine is given `context` tokens for each of `seqs` sequences, so its total is their product. `threads` bounds
    the engine's compute threads. Raises BAD_FLAG for a flag that the preset owns.
    """
    key_type, _, value_type = spec.kv_type.partition("/")
    box = preset.container if spec.backend == CONTAINERS else None
    values = {
        "python": python,
        "model": spec.model.path if box is None else inside(spec.model),
        "name": name,
        "ctx": spec.context,
        "total_ctx": spec.context * spec.seqs,
        "seqs": spec.seqs,
        "threads": threads,
        "kv_k": key_type,
        "kv_v": value_type or key_type,
    }
    if box is None:
        parts = (*preset.command, *preset.arguments)
    else:
        values["port"] = box.port
        parts = (*box.command, *preset.arguments, *box.arguments)
    if box is not None and spec.model.source == "hub" and not spec.model.files and spec.model.revision:
        parts += box.pin
        values["revision"] = spec.model.revision
    words = [word.format(**values) for word in parts]
    for flag, value in spec.flags.items():
        check_flag(preset, flag)
        words += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return tuple(words)


def gpu_choice(gpus: str | None) -> tuple[tuple[str, ...], int | None]:
    """`all`, `count=N`, or indexes and UUIDs with commas, as (those or `all`, count). Raises CONFIG_INVALID.

    A slice (MIG) goes by its UUID: `MIG-…`, in the spelling of old drivers `MIG-GPU-…/1/0`.
    """
    if not gpus:
        return (), None
    count = re.fullmatch(r"count=([1-9][0-9]?)", gpus)
    if count:
        return (), int(count[1])
    if gpus == "all" or all(_GPU.fullmatch(word) for word in gpus.split(",")):
        return tuple(gpus.split(",")), None
    raise StokerError(
        "CONFIG_INVALID", f"`{gpus}` names no GPUs.", "Give `all`, `count=2`, indexes (`0,1`) or UUIDs: `stoker gpus`."
    )


def inside(model: ModelRef) -> str:
    """Where a container finds the model: its mounted file or folder, or its name on the hub."""
    if model.files:
        folder = f"{WEIGHTS}/{PurePath(model.repo).name}"
        return f"{folder}/{model.files[0].name}" if model.format == "gguf" else folder
    return model.path if model.source == "hub" else f"{WEIGHTS}/{PurePath(model.path).name}"


def mounted(model: ModelRef) -> list[tuple[str, str]]:
    """What a container is given of the model: files or folders here, each with its place inside.

    Files of the hub's cache one by one: a folder there holds links that lead out of it.
    """
    if model.files:
        folder = f"{WEIGHTS}/{PurePath(model.repo).name}"
        return [(str(model.folder / file.name), f"{folder}/{file.name}") for file in model.files]
    return [] if model.source == "hub" else [(model.path, inside(model))]


def check_flag(preset: Preset, flag: str) -> None:
    """Raise BAD_FLAG if stoker sets `flag` itself for this engine."""
    if flag in preset.owned:
        raise StokerError("BAD_FLAG", f"`{flag}` is set by stoker itself for {preset.name}.", _OWNED.get(flag, ""))


_OWNED = {
    "ctx-size": "Use `--ctx N`.",
    "parallel": "Use `--seqs N`.",
    "cache-type-k": "Use `--kv-type K/V`.",
    "cache-type-v": "Use `--kv-type K/V`.",
    "model": "Launch that model instead.",
    "revision": "Use `--revision REV`.",
    "alias": "The deployment's name is the model's name at the edge.",
    "host": "Engines listen on loopback; clients go through the gateway.",
    "api-key": "Every attempt has a key of its own; clients use `stoker keys create`.",
}


def nearest(word: str, known: list[str]) -> str:
    """The entry of `known` most like `word`."""
    return difflib.get_close_matches(word, known, 1, 0.0)[0]


def compute_threads(cpus: int | None) -> int:
    """Threads for an engine that computes on the CPU: half of `cpus`, one at least, four at most.

    ggml's threads spin while they wait, so an engine that is given every core starves its neighbours and itself.
    """
    return min(4, max(1, (cpus or 1) // 2))
