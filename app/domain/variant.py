"""A variant: the immutable configuration of a deployment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal

from app.domain.money import FREE, Price
from app.domain.offers import Wanted
from app.domain.placement import Placement
from app.domain.plans import Mode

FlagValue = str | bool


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a repository: its path there, its bytes, and what the hub knows it by.

    `tag` is the SHA-256 of a large file and git's SHA-1 of any other, None where the hub does not say.
    """

    name: str
    size: int
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model: what the user called it, where it comes from, and the file it is. `size` in bytes, None if unknown.

    One on the hub is `repo` at the commit `revision`. Its `files` are kept in this machine's cache, and `path` is the
    first of them, or the folder that they are in; without files the engine fetches it by itself, and `path` is `repo`.
    """

    name: str
    source: Literal["bundled", "file", "hub"]
    path: str
    format: str = "gguf"
    size: int | None = None
    repo: str = ""
    revision: str | None = None
    files: tuple[ModelFile, ...] = ()

    @property
    def folder(self) -> PurePath:
        """The folder of this machine's cache that its `files` are in."""
        path = PurePath(self.path)
        return path.parents[self.files[0].name.count("/")] if self.format == "gguf" else path

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "ModelRef":
        """The inverse of `asdict`. Raises KeyError or TypeError on anything else."""
        return ModelRef(**{**data, "files": tuple(ModelFile(**file) for file in data.get("files", ()))})


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """Everything that decides how an instance is started.

    `context` is tokens per request, `seqs` how many requests the engine serves at once. `kv_type` is `K/V` or one
    type for both. `flags` are passed to the engine as they are. `env_names` names variables whose values are kept
    outside the store, in the file `env-<env_file>.json` of the keys directory. `memory_limit` is bytes of host memory.
    `host` is one of the configured hosts, None this machine. `image` is what the user asked for instead of the
    preset's, and `digest` (`sha256:…`) what it was when that was asked; `pinned` is the preset's, with the digest
    that it had then. `gpus` is `all`, `count=N`, or indexes and UUIDs with commas. `share` is the part of each GPU that
    an engine may claim which takes one whatever it needs, None for its own default.
    A `flex` variant is billed for its use, an `active` one for being there. `price` is what it costs, as of its launch.
    With `smart` every attempt is placed anew on what satisfies that; backend, host and GPUs are then those that came
    first at the launch.
    """

    model: ModelRef
    engine: str
    backend: str
    context: int
    seqs: int
    kv_type: str
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    env_names: tuple[str, ...] = ()
    env_file: str | None = None
    memory_limit: int | None = None
    host: str | None = None
    image: str | None = None
    digest: str | None = None
    pinned: str | None = None
    gpus: str | None = None
    mode: Mode = "active"
    share: float | None = None
    price: Price = FREE
    smart: Wanted | None = None

    @property
    def place(self) -> str:
        """Backend and host in one word: `process`, `docker`, `docker@gpu1`."""
        return self.backend if self.host is None else f"{self.backend}@{self.host}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "VariantSpec":
        """The inverse of `to_json`. Raises KeyError or TypeError on anything else."""
        return VariantSpec(
            **{
                **data,
                "model": ModelRef.from_json(data["model"]),
                "env_names": tuple(data["env_names"]),
                "price": Price(**data.get("price", {})),
                "smart": None if data.get("smart") is None else Wanted.from_json(data["smart"]),
            },
        )

    def placed(self, placement: Placement | None) -> "VariantSpec":
        """The configuration of an attempt that was placed there; this one for None."""
        if placement is None:
            return self
        gpus = ",".join(map(str, placement.gpus)) or None
        here = (self.host, self.gpus) == (placement.host, gpus)
        share = self.share if here else None  # what another GPU is to give is another share
        return replace(self, backend=placement.backend, host=placement.host, gpus=gpus, share=share)

    def changes(self, other: "VariantSpec") -> dict[str, tuple[object, object]]:
        """What differs from `self` to `other`, by field: (before, after)."""
        before, after = self.to_json(), other.to_json()
        return {key: (before[key], after[key]) for key in before if before[key] != after[key]}
