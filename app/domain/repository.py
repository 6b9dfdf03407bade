"""Repositories of the model hub: how they are called, and which of their files make up the model that is meant."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from app.domain.failures import StokerError
from app.domain.text import safe

_REPOSITORY = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
_NAME = re.compile(rf"({_REPOSITORY})(?::([\w./-]{{1,200}}))?(?:@([\w./-]{{1,200}}))?", re.ASCII)
_FILE = re.compile(r"(?!/)[^\\\x00-\x1f\x7f]{1,400}")
_PART = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.gguf")
_SHARD = re.compile(r".*-[0-9]{5}-of-([0-9]{5})\.safetensors")
_QUANT = re.compile(r"(?i)(?<![a-z0-9])((?:ud-)?i?q\d\w*|f16|f32|bf16|mxfp4\w*|fp8)(?=[-.]|$)")
_PREFERRED = ("q4_k_m", "q4_k", "q5_k_m", "q8_0", "q4_0", "f16", "bf16")
"""Which of several GGUF files is meant where nobody says."""
_BESIDE = (".json", ".txt", ".model", ".jinja", ".tiktoken")
"""What a checkpoint needs beside its weights: configuration, tokenizer, chat template."""

INDEX = "model.safetensors.index.json"


def parse_name(text: str) -> tuple[str, str | None, str | None] | None:
    """A repository with a quantisation or file and a revision that may follow: `owner/name:Q4_K_M@main`.

    None for what is no such name.
    """
    match = _NAME.fullmatch(text)
    return None if match is None else (match[1], match[2], match[3])


def sound_name(name: str) -> bool:
    """Whether a file of that name stays within the folder that it is put into."""
    return _FILE.fullmatch(name) is not None and all(part not in ("", ".", "..") for part in name.split("/"))


def choose_gguf(names: Sequence[str], wanted: str | None, where: str) -> list[str]:
    """The GGUF file that is meant, with its further parts: the one called `wanted` or of that quantisation, else of the
    commonest type. Raises MODEL_NOT_FOUND."""
    files = [name for name in names if name.endswith(".gguf") and "mmproj" not in name.lower()]
    firsts = [name for name in files if (match := _PART.fullmatch(name)) is None or int(match[2]) == 1]
    first = _first(firsts, wanted)
    if first is None and wanted and firsts:
        known = ", ".join(safe(name, 80) for name in firsts[:8])
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(where, 100)}` has no GGUF file of {safe(wanted, 40)}.", known)
    if first is None:
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(where, 100)}` holds no config.json and no GGUF file.")
    match = _PART.fullmatch(first)
    if match is None:
        return [first]
    parts = [f"{match[1]}-{i:05}-of-{match[3]}.gguf" for i in range(1, int(match[3]) + 1)]
    if missing := next((part for part in parts if part not in names), None):
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(where, 100)}` lacks a part: {safe(missing, 100)}.")
    return parts


def choose_checkpoint(names: Collection[str], where: str, *, code: bool = False) -> list[str]:
    """The files of a safetensors checkpoint: weights, configuration, tokenizer, and the repository's own `code` if that
    is allowed. Raises MODEL_NOT_FOUND."""
    top = sorted(name for name in names if "/" not in name)
    weights = [name for name in top if name.endswith(".safetensors")]
    if INDEX in top:
        shards = [match for name in weights if (match := _SHARD.fullmatch(name))]
        counts = Counter(match[1] for match in shards)
        if lacking := next((count for count, found in counts.items() if int(count) != found), None):
            text = f"`{safe(where, 100)}` has {counts[lacking]} of {int(lacking)} safetensors files."
            raise StokerError("MODEL_NOT_FOUND", text)
        weights = [match[0] for match in shards] or weights
    elif "model.safetensors" in weights:
        weights = ["model.safetensors"]
    if not weights or "config.json" not in top:
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(where, 100)}` holds no safetensors files with a config.json.")
    return weights + [name for name in top if name.endswith(_BESIDE) or (code and name.endswith(".py"))]


def quantisation(name: str) -> str | None:
    """The quantisation that a GGUF file's name tells."""
    stem = name.rpartition("/")[2].removesuffix(".gguf")
    found = _QUANT.findall(_PART.sub(r"\1", f"{stem}.gguf").removesuffix(".gguf"))
    return found[-1] if found else None


def _first(firsts: Sequence[str], wanted: str | None) -> str | None:
    if wanted in firsts:
        return wanted
    for word in (wanted,) if wanted else _PREFERRED:
        spelt = "[-_]".join(map(re.escape, re.split("[-_]", word.lower())))
        for name in firsts:
            if re.search(rf"(?<![a-z0-9]){spelt}(?![a-z0-9_])", name.lower()):
                return name
    return None if wanted or not firsts else firsts[0]
