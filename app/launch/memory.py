"""The memory that ran out, and what a configuration would need of it: for the fix card, after the fact.

The shape of the model comes from what the engine printed of it before it failed, so it is known wherever the engine
ran; for checkpoints from their configuration, where that is on this machine.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.domain.failures import StokerError
from app.domain.fitting import Card, Estimate, Memory
from app.domain.variant import VariantSpec
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.fields import parse_config
from app.domain.vram.gpus import Gpu, gpu_of
from app.domain.vram.setup import Setup
from app.domain.vram.shape import Shape
from app.domain.vram.weights import given

MIB = 2**20
ADDRESS_SPACE = 320 * MIB
"""A memory limit is one of address space. Interpreter, libraries and stacks of llama.cpp were seen to map 290 to 350
MiB of it on two cores, whatever the model (measured at four configurations of the bundled one)."""
PER_CORE = 8 * MIB
"""The stack of one more thread: the engine answers with as many as there are cores."""
RESIDENT = 128 * MIB
"""What the same keeps in real memory."""
_READ = 1_000_000
_METADATA = re.compile(r"- kv\s+\d+:\s+([\w.]+)\s+\S+\s+= (.+)")
_ASKED = re.compile(r"attempted to allocate\s+([\d.]+) MB|Tried to allocate ([\d.]+) ([GM])iB")
_CARD = re.compile(r"total capacity of ([\d.]+) ([GM])iB")
_INDEX = re.compile(r"(?:\bGPU|\bdevice|cuda:) ?(\d{1,2})\b")
_FREE = re.compile(r"of which ([\d.]+) ([GM])iB is free")

_NAMES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
}
"""What a checkpoint's configuration calls what GGUF calls so, after the architecture."""


def memory_of(
    code: str, spec: VariantSpec, evidence: str, directory: Path, cards: Sequence[Card] = ()
) -> Memory | None:
    """The memory that ran out with `code` in the attempt at `directory`; None if nothing is known to compute with.

    `cards` are the GPUs that the engine could have used.
    """
    try:
        if code == "HOST_OOM":
            return _of_host(spec, directory)
        return _of_gpu(spec, evidence, directory, cards) if code == "OOM_KILLED" else None
    except (StokerError, OSError, ValueError):
        return None


def _of_host(spec: VariantSpec, directory: Path) -> Memory | None:
    shape = _shape(spec, directory)
    if shape is None or spec.engine != "llama.cpp":
        return None
    beside = RESIDENT
    if spec.memory_limit is not None:
        beside = ADDRESS_SPACE + PER_CORE * (os.cpu_count() or 1)
    room = spec.memory_limit or _available()
    host = Gpu("host", room, host=True)
    called = "free" if spec.memory_limit is None else "allowed"
    return Memory(room, _estimate(shape, host, beside), called)


def _of_gpu(spec: VariantSpec, evidence: str, directory: Path, cards: Sequence[Card]) -> Memory | None:
    """The card that the engine named, or the only one. Short by what was asked for beyond what was free."""
    shape, said, named = _shape(spec, directory), _CARD.search(evidence), _INDEX.search(evidence)
    found = [card for card in cards if named is None or card.index == int(named[1])]
    total = _bytes(*said.groups()) if said is not None else found[0].total if len(found) == 1 else 0
    if shape is None or not total:
        return None
    gpu = gpu_of(total)
    index = int(named[1]) if named is not None else found[0].index if len(found) == 1 else None
    asked, free = _ASKED.search(evidence), _FREE.search(evidence)
    short = 0
    if asked is not None and asked[2] and free is not None:
        short = max(0, _bytes(asked[2], asked[3]) - _bytes(*free.groups()))
    return Memory(gpu.room, _estimate(shape, gpu, 0), "on the card", short, index)


def _estimate(shape: Shape, place: Gpu, beside: int) -> Estimate:
    def needed(spec: VariantSpec) -> int | None:
        setup = Setup(
            spec.engine,
            spec.context,
            spec.seqs,
            gpus=(place,),
            kv_type=spec.kv_type.partition("/")[0],
            flags=spec.flags,
        )
        try:
            found = estimate(shape, given(shape, spec.model.size or 0), setup)
        except StokerError:
            return None
        # On a host, what the program takes beside its buffers is what `beside` says.
        whole = max(part.total - (part.overhead if place.host else 0) for part in found.per_gpu)
        return whole + beside + (found.host if place.host else 0)

    return needed


def _shape(spec: VariantSpec, directory: Path) -> Shape | None:
    config = Path(spec.model.path) / "config.json"
    if config.is_file():
        with config.open("rb") as file:
            return read_shape(parse_config(file.read(_READ)))
    return _printed(directory / "head.log")


def _printed(log: Path) -> Shape | None:
    """The shape that llama.cpp prints while it loads, in the words of the file's own metadata."""
    with log.open("rb") as file:
        found = dict(_METADATA.findall(file.read(_READ).decode("utf-8", "replace")))
    kind = found.get("general.architecture", "")
    values: dict[str, Any] = {"model_type": kind, "tie_word_embeddings": False}
    for name, called in _NAMES.items():
        if (text := found.get(f"{kind}.{called}", "").strip()).isdecimal():
            values[name] = int(text)
    return read_shape(values) if _is_dense(found, kind) and "num_hidden_layers" in values else None


def _is_dense(found: Mapping[str, str], kind: str) -> bool:
    """Whether what is printed says all: not where layers differ, or experts or states have shapes of their own."""
    told_apart = ("expert_count", "ssm.", "attention.sliding_window", "attention.kv_lora_rank")
    return not any(key.startswith(f"{kind}.{word}") for key in found for word in told_apart)


def _available() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * (2**30 if unit == "G" else MIB))
