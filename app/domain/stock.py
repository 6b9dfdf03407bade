"""What a host has in store: the images and the weights that are there already, and the room for more. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a host's container daemon: its `size` in bytes, what it is called there, and by what digest a
    registry knows it; a digest is empty for one that was built there."""

    id: str
    size: int
    names: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Weights on a host's disk, their `size` in bytes, None where nobody could count them. Their `place` is the hub's
    cache of the user, a volume of the container daemon, or, on this machine, the folder of stoker's own models."""

    name: str
    place: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Disk:
    """The room where `holds` is kept, in bytes."""

    holds: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What a host was seen to have `at` (UTC microseconds).

    `docker` is the version of its daemon, None without one that answers, and `detail` then what was said instead.
    """

    at: int
    docker: str | None = None
    detail: str = ""
    images: tuple[Image, ...] = ()
    weights: tuple[Kept, ...] = ()
    disks: tuple[Disk, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Stock":
        """A stock as it was stored."""
        images = tuple(Image(**{**each, "names": tuple(each["names"])}) for each in data["images"])
        weights, disks = (Kept(**each) for each in data["weights"]), (Disk(**each) for each in data["disks"])
        return Stock(**{**data, "images": images, "weights": tuple(weights), "disks": tuple(disks)})

    def of_engine(self, references: Sequence[str]) -> list[Image]:
        """The images of one engine: those whose name is among its `references`, whatever their tag or digest."""
        wanted = {repository(reference) for reference in references}
        return [image for image in self.images if any(repository(name) in wanted for name in image.names)]


def repository(reference: str) -> str:
    """What an image is called without tag, digest and the registry that nobody has to name."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    name = head if colon and "/" not in tag else name
    return name.removeprefix("docker.io/").removeprefix("library/")
