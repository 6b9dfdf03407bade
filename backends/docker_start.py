"""Bringing an attempt up on a Docker host: image, weights, container. A failed start leaves nothing behind."""

import hashlib
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker import types
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from backends.base import InstanceSpec
from backends.docker_spec import (
    LABEL,
    WEIGHTS_TARGET,
    create_options,
    environment_archive,
    wanted,
)

COMPLETE = ".stoker-complete"
"""In a volume of weights, once all of them are there."""
BUILT_HERE = "localhost/"
"""What images are called that were built on the host and are in no registry."""
_MEGA = 1_000_000
_PIECE = 1 << 20


class StartFailed(Exception):
    """The host would not have it; the text says at what, and then the daemon's own words."""


class Cancelled(Exception):
    """Somebody asked for a stop before it was up."""


@dataclass(slots=True)
class Preparation:
    """A start under way. `progress` is what to tell of it."""

    spec: InstanceSpec
    began_at: int
    progress: str = "asking the host"
    cancelled: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Cancelled if a stop was asked for."""
        if self.cancelled.is_set():
            raise Cancelled


@dataclass(slots=True)
class Layers:
    """How far a pull is: bytes of each layer that is being fetched, and which are whole."""

    fetched: dict[str, tuple[int, int]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    def note(self, item: Mapping[str, Any]) -> None:
        """Take in one item of the daemon's stream."""
        layer, status = item.get("id"), item.get("status", "")
        detail = item.get("progressDetail") or {}
        if not isinstance(layer, str) or status.startswith("Pulling from"):
            return
        if status == "Downloading" and "total" in detail:
            self.fetched[layer] = int(detail["current"]), int(detail["total"])
        else:
            self.fetched.setdefault(layer, (0, 0))
        if status in ("Download complete", "Pull complete", "Already exists"):
            self.fetched[layer] = (self.fetched[layer][1],) * 2
            self.whole.add(layer)

    def __str__(self) -> str:
        done, total = (sum(pair[n] for pair in self.fetched.values()) / _MEGA for n in (0, 1))
        return f"pulling the image: {done:,.0f} of {total:,.0f} MB, {len(self.whole)} of {len(self.fetched)} layers"


def bring_up(api: Any, preparation: Preparation, key: str, *, remote: bool, address: str) -> None:
    """Create and start the container of attempt `key`. Raises StartFailed and Cancelled."""
    spec = preparation.spec
    container = wanted(spec)
    image = find_image(api, container.images, preparation)
    preparation.check()
    try:
        volume = _weights(api, preparation, image) if remote and container.mounts else None
        options = create_options(api, spec, key, image, volume, address)
        created = api.create_container(**options)["Id"]
    except APIError as error:
        raise StartFailed(f"container create: {said(error)}") from error
    try:
        api.put_archive(created, "/", environment_archive(spec, key))
        preparation.check()
        preparation.progress = "starting the container"
        api.start(created)
    except BaseException as error:
        # A start that failed leaves a container that never ran.
        remove(api, created)
        if isinstance(error, APIError):
            raise StartFailed(f"container start: {said(error)}") from error
        raise


def find_image(api: Any, images: tuple[str, ...], preparation: Preparation) -> str:
    """The first of `images` that the host has; the last one is pulled if it has none."""
    for image in images:
        try:
            api.inspect_image(image)
        except ImageNotFound:
            continue
        return image
    if images[-1].startswith(BUILT_HERE):
        raise StartFailed(f"image pull: {images[-1]}: not found on the host, and built nowhere else")
    pull(api, images[-1], preparation)
    return images[-1]


def pull(api: Any, image: str, preparation: Preparation) -> None:
    """Pull `image`, saying how far it is. Raises StartFailed with the daemon's reason, and Cancelled."""
    layers = Layers()
    repository, tag = _split(image)
    preparation.progress = str(layers)
    try:
        for item in api.pull(repository, tag=tag, stream=True, decode=True):
            preparation.check()
            # A layer that is damaged, or finds no room, is told inside a stream that began with 200.
            if "error" in item:
                raise StartFailed(f"image pull: {image}: {item['error']}")
            layers.note(item)
            preparation.progress = str(layers)
    except APIError as error:
        raise StartFailed(f"image pull: {image}: {said(error)}") from error


def said(error: DockerException) -> str:
    """The daemon's own words."""
    return str(getattr(error, "explanation", None) or error)


def remove(api: Any, container: str) -> None:
    """Remove a container of ours, if it is still there."""
    try:
        api.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:  # somebody is removing it already
            raise


def _split(image: str) -> tuple[str, str]:
    """The repository and its tag or digest: without one the SDK would pull every tag there is."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, "latest")


def _weights(api: Any, preparation: Preparation, image: str) -> str:
    """The volume on the host that holds what is to be mounted, filled from here if it is not there yet."""
    sources = {str(Path(m.target).relative_to(WEIGHTS_TARGET)): Path(m.source) for m in wanted(preparation.spec).mounts}
    facts = {name: source.stat() for name, source in sources.items()}
    identity = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in facts.items())
    volume = f"stoker-weights-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    api.create_volume(volume, labels={LABEL + "weights": next(iter(sources))})
    host = api.create_host_config(mounts=[types.Mount(WEIGHTS_TARGET, volume, "volume")])
    helper = api.create_container(image=image, entrypoint=["/bin/sh"], host_config=host)["Id"]
    try:
        try:
            api.get_archive(helper, f"{WEIGHTS_TARGET}/{COMPLETE}")[0].close()
        except NotFound:
            api.put_archive(helper, WEIGHTS_TARGET, _archive(sources, preparation))
    finally:
        remove(api, helper)
    return volume


def _archive(sources: Mapping[str, Path], preparation: Preparation) -> Iterator[bytes]:
    """The weights as a tar archive in pieces, each under its name, and after them the mark that they are whole."""
    files: dict[str, Path] = {}
    for name, source in sources.items():
        below = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        files |= {str(Path(name) / path.relative_to(source)): path for path in below}
    total = sum(path.stat().st_size for path in files.values()) / _MEGA
    sent = 0
    for name, path in files.items():
        info = tarfile.TarInfo(name)
        info.size, info.mode = path.stat().st_size, 0o444
        yield info.tobuf()
        with path.open("rb") as file:
            while data := file.read(_PIECE):
                preparation.check()
                sent += len(data)
                preparation.progress = f"copying the weights: {sent / _MEGA:,.0f} of {total:,.0f} MB"
                yield data
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield tarfile.TarInfo(COMPLETE).tobuf()
    yield bytes(2 * tarfile.BLOCKSIZE)
