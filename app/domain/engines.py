"""Engine presets, and the command that a variant becomes. Presets are data; see `assets/engines.toml`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec

CONTAINERS = "docker"
"""The backend whose engines run in containers."""
PROCESS = "process"
"""The backend whose engines are processes of this machine."""
WEIGHTS = "/models"
"""Where the weights are mounted in a container."""
_GPU = re.compile(r"\d{1,3}|(GPU|MIG)-[0-9A-Fa-f-]{4,40}|MIG-GPU-[0-9A-Fa-f-]{4,40}/\d{1,2}/\d{1,2}")
_OPTIONAL = frozenset({
    "module", "container", "version", "why", "install", "architectures", "needs", "environment", "metrics", "share",
    "split", "named",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Box:
    """How an engine runs in a container: `images` in the order in which they are tried, the last one is pulled.

    `gpu_images` are those for a GPU, where others are.

    `command` replaces the preset's; `arguments` come after the preset's own. `port` is what it listens on inside,
    `cache` a folder inside where it keeps what it downloads, `shm_bytes` the shared memory that it needs. `pin` are
    the arguments that hold it to one revision of what it downloads.
    """

    images: tuple[str, ...]
    command: tuple[str, ...]
    port: int
    gpu_images: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    cache: str | None = None
    shm_bytes: int | None = None
    pin: tuple[str, ...] = ()

    def images_for(self, spec: VariantSpec) -> tuple[str, ...]:
        """The engine's images for `spec`, which may ask for another of its own."""
        return self.gpu_images if spec.gpus and self.gpu_images else self.images


@dataclass(frozen=True, slots=True)
class Needs:
    """What an engine needs of a machine; nothing if left out.

    `platforms` are those it is made for, as system and processor (`darwin/arm64`). `capability` is the least compute
    capability of an NVIDIA GPU, and says that it needs one; `by_form` that for weights of one form; with `gpu` it is
    given one where there is one. `cuda` is the
    version that its image is built with. `refuses` are forms of weights that it does not read.
    """

    platforms: tuple[str, ...] = ()
    capability: str = ""
    cuda: str = ""
    refuses: tuple[str, ...] = ()
    by_form: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Preset:
    """How one engine is started and recognised. `context` and `seqs` are the defaults of a launch.

    An engine without a `command` runs in containers only. `key_env` is empty where an engine can be given no key.
    `version` is the one that the facts are about, `why` what speaks for the engine. `architectures` are those that it
    is known to serve, by format; where none are named, all that anybody does. `environment` is added to its own.
    `share` are the flags that bound the part of a GPU which it claims, `split` those that divide a model among GPUs:
    the first of them is passed, unless a user passes any. `named` says that requests call its model by the deployment's
    name; else they must not name it. `metrics` says how it calls what others call otherwise, `install` how its program
    is installed.
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
    version: str = ""
    why: str = ""
    install: str = ""
    share: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    named: bool = True
    architectures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: Needs = Needs()
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)


def parse_presets(data: Mapping[str, Any]) -> dict[str, Preset]:
    """Presets from parsed TOML. A missing or unknown field is CONFIG_INVALID naming engine and field."""
    known = {f.name for f in fields(Preset)} - {"name"}
    presets = {}
    for name, table in data.items():
        given = set(table) if isinstance(table, dict) else set()
        if wrong := given - known or known - given - _OPTIONAL:
            word = "unknown" if given - known else "missing"
            raise StokerError("CONFIG_INVALID", f"engines.toml: {word} field `{min(wrong)}` of engine `{name}`.")
        values = _frozen(table)
        for part, kind in (("container", Box), ("needs", Needs)):
            if part in values:
                values[part] = _parse_part(name, part, kind, values[part])
        presets[name] = Preset(name=name, **values)
    return presets


def _parse_part(name: str, part: str, kind: type[Any], table: Any) -> Any:
    try:
        return kind(**table)
    except TypeError as error:
        raise StokerError("CONFIG_INVALID", f"engines.toml: `{part}` of engine `{name}`: {error}.") from error


def _frozen(table: Any) -> Any:
    """What TOML holds, with tuples for lists."""
    if isinstance(table, dict):
        return {key: _frozen(value) for key, value in table.items()}
    return tuple(table) if isinstance(table, list) else table


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
    words += _computed(preset, spec)
    for flag, value in spec.flags.items():
        check_flag(preset, flag)
        words += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return tuple(words)


def _computed(preset: Preset, spec: VariantSpec) -> list[str]:
    """What the GPUs come to: how many share the model, and how much of each the engine may claim."""
    count = gpu_count(spec.gpus)
    words = []
    if preset.split and count > 1 and not any(flag in spec.flags for flag in preset.split):
        words += [f"--{preset.split[0]}", str(count)]
    if preset.share and spec.share is not None and not any(flag in spec.flags for flag in preset.share):
        words += [f"--{preset.share[0]}", f"{spec.share:.3f}"]
    return words


def gpu_count(gpus: str | None) -> int:
    """How many GPUs `--gpus` names; 0 for none, and for all of a machine of which that is not known."""
    indexes, count = gpu_choice(gpus)
    return count or (0 if indexes == ("all",) else len(indexes))


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
