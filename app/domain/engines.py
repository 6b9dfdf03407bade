"""Engine presets, and the command that a variant becomes. Presets are data; see `assets/engines.toml`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.domain.failures import StokerError
from app.domain.variant import VariantSpec


@dataclass(frozen=True, slots=True)
class Preset:
    """How one engine is started and recognised. `context` and `seqs` are the defaults of a launch."""

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


def parse_presets(data: Mapping[str, Any]) -> dict[str, Preset]:
    """Presets from parsed TOML. A missing or unknown field is CONFIG_INVALID naming engine and field."""
    known = {f.name for f in fields(Preset)} - {"name"}
    presets = {}
    for name, table in data.items():
        given = set(table) if isinstance(table, dict) else set()
        if wrong := given - known or known - given - {"module"}:
            word = "unknown" if given - known else "missing"
            raise StokerError("CONFIG_INVALID", f"engines.toml: {word} field `{min(wrong)}` of engine `{name}`.")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        presets[name] = Preset(name=name, **values)
    return presets


def render_command(preset: Preset, spec: VariantSpec, name: str, python: str, threads: int) -> tuple[str, ...]:
    """The argv that starts `spec` as deployment `name`: the preset's own arguments, then the user's flags.

    The engine is given `context` tokens for each of `seqs` sequences, so its total is their product. `threads` bounds
    the engine's compute threads. Raises BAD_FLAG for a flag that the preset owns.
    """
    key_type, _, value_type = spec.kv_type.partition("/")
    values = {
        "python": python,
        "model": spec.model.path,
        "name": name,
        "ctx": spec.context,
        "total_ctx": spec.context * spec.seqs,
        "seqs": spec.seqs,
        "threads": threads,
        "kv_k": key_type,
        "kv_v": value_type or key_type,
    }
    words = [word.format(**values) for word in (*preset.command, *preset.arguments)]
    for flag, value in spec.flags.items():
        check_flag(preset, flag)
        words += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return tuple(words)


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
