"""What is known of a model before it is loaded: its shape, and the bytes of its weights, from wherever it is.

A GGUF file and the tables of safetensors files say it exactly; where they cannot be had, parameters times bits do.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.domain.failures import StokerError
from app.domain.repository import INDEX, choose_gguf, parse_name
from app.domain.text import safe
from app.domain.vram.config import read_shape
from app.domain.vram.fields import CONFIG_BYTES, parse_config
from app.domain.vram.gguf import read_gguf
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Tensor, Weights, by_parameters, from_tensors
from app.launch import gguf, safetensors
from app.launch.hub import Access, access_of, cached_folder, hub_client, listing, remote_file
from app.launch.models import resolve
from app.launch.ranges import LocalFile, Source
from app.settings import Home

_PART = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.gguf")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as files describe it. `weights` are what they hold; `revision` is the hub's commit, None elsewhere."""

    name: str
    format: Literal["gguf", "safetensors"]
    shape: Shape
    weights: Weights
    revision: str | None = None


def learn(text: str, home: Home, quant: str | None = None, revision: str | None = None) -> ModelFacts:
    """What is known of the model that `text` names: bundled, a file, a folder, or on the hub.

    `quant` chooses among GGUF files. Raises MODEL_NOT_FOUND, MODEL_GATED, OFFLINE, MODEL_LOAD_ERROR and
    ARCH_UNSUPPORTED. A model that the hub does not give while this machine has a copy is read from there.
    """
    model = resolve(text, home)
    if model.source == "hub":
        _, choice, pinned = parse_name(text) or (model.repo, None, None)
        return _from_hub(model.repo, quant or choice, revision or pinned, access_of(home))
    path = Path(model.path)
    if path.is_dir():
        return from_folder(path, quant)
    return from_gguf(path)


def from_config(path: Path) -> ModelFacts:
    """What a config.json alone says."""
    with LocalFile(path) as file:
        shape = read_shape(parse_config(_whole(file, CONFIG_BYTES)))
    return ModelFacts(path.name, "safetensors", shape, by_parameters(shape))


def from_folder(path: Path, quant: str | None = None) -> ModelFacts:
    """What a folder holds: config.json with safetensors files, or GGUF files."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(str(path))}` cannot be read: {error.strerror}.") from error
    if "config.json" not in names:
        return from_gguf(path / choose_gguf(names, quant, str(path))[0])
    config = from_config(path / "config.json")
    if not any(name.endswith(".safetensors") for name in names):
        return ModelFacts(path.name, "safetensors", config.shape, config.weights)
    with ExitStack() as stack:
        indexed = INDEX in names
        index = stack.enter_context(LocalFile(path / INDEX)) if indexed else None
        files = [stack.enter_context(LocalFile(path / name)) for name in _shards(names, index)]
        weights = _tables(config.shape, files)
    return ModelFacts(path.name, "safetensors", config.shape, weights)


def from_gguf(path: Path) -> ModelFacts:
    """What a GGUF file holds, with its further parts if it is one of several."""
    match = _PART.fullmatch(path.name)
    count = int(match[3]) if match else 1
    names = [f"{match[1]}-{i:05}-of-{match[3]}.gguf" for i in range(1, count + 1)] if match else [path.name]
    with ExitStack() as stack:
        return _of_gguf(path.name, [stack.enter_context(LocalFile(path.with_name(name))) for name in names], None)


def _from_hub(repo: str, quant: str | None, revision: str | None, access: Access) -> ModelFacts:
    try:
        found = listing(repo, revision, access)
    except StokerError as error:
        folder = cached_folder(repo, revision, access) if error.code == "OFFLINE" else None
        if folder is None:
            raise
        return from_folder(folder, quant)
    with hub_client() as client, ThreadPoolExecutor(_AT_ONCE) as pool:

        def fetched(names: Sequence[str]) -> list[Source]:
            return list(pool.map(lambda name: remote_file(client, found, name), names))

        if "config.json" not in found.files:
            return _of_gguf(repo, fetched(choose_gguf(list(found.files), quant, repo)), found.commit)
        shape = read_shape(parse_config(_whole(remote_file(client, found, "config.json"), CONFIG_BYTES)))
        index = remote_file(client, found, INDEX) if INDEX in found.files else None
        names = _shards(list(found.files), index)
        weights = _tables(shape, fetched(names)) if names else by_parameters(shape)
        return ModelFacts(repo, "safetensors", shape, weights, found.commit)


def _of_gguf(name: str, files: Sequence[Source], revision: str | None) -> ModelFacts:
    headers = [gguf.read_header(file) for file in files]
    tensors = [tensor for header in headers for tensor in header.tensors]
    shape = read_gguf(headers[0].metadata, tensors)
    return ModelFacts(name, "gguf", shape, from_tensors(shape, tensors), revision)


def _tables(shape: Shape, files: Sequence[Source]) -> Weights:
    tensors: list[Tensor] = []
    for file in files:
        tensors += safetensors.read_tensors(file)
    return from_tensors(shape, tensors)


def _shards(names: Sequence[str], index: Source | None) -> list[str]:
    """The safetensors files that make up the model: those of the index, else the one by its name, else all."""
    if index is not None:
        listed = safetensors.read_index(_whole(index, safetensors.INDEX_BYTES))
        if missing := next((name for name in listed if name not in names), None):
            raise StokerError("MUST_REDOWNLOAD", f"`{safe(missing, 100)}` is named by the index and not there.")
        return listed
    every = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    return ["model.safetensors"] if "model.safetensors" in every else every


def _whole(source: Source, most: int) -> bytes:
    if source.size > most:
        raise StokerError("MODEL_LOAD_ERROR", f"{safe(source.name, 80)} is larger than {most:,} bytes.")
    return source.read(0, source.size)
