"""A peak: the most memory that one start was seen to take, with what it hangs on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.domain.vram.printed import Taken

HOST = "host"
"""The place of what is kept in a machine's own memory."""
Scope = Literal["settings", "model", "kind"]
"""How near what was measured is: the very settings, the same model at others, another model of its architecture."""


@dataclass(frozen=True, slots=True)
class Peak:
    """What a start took on each GPU of its `place` (a GPU's name, or `host`), in their order.

    `weights` are the bytes of the model's weights as its files have them, which tell it from others of its
    architecture. `settings` are those of `settings_of`, `busy` says that requests had been served. `start` tells starts
    apart, `at` is in UTC microseconds.
    """

    start: str
    engine: str
    version: str
    architecture: str
    quantisation: str
    place: str
    weights: int
    settings: Mapping[str, Any]
    taken: tuple[Taken, ...]
    busy: bool
    at: int

    @property
    def total(self) -> int:
        """What it took in all, as far as that is known."""
        return sum(each.total or 0 for each in self.taken)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What of an estimate was measured here: how near it was, at how many starts, and whether any served requests."""

    scope: Scope
    starts: int
    busy: bool

    @property
    def words(self) -> str:
        """The same as a person reads it."""
        starts = "1 start" if self.starts == 1 else f"{self.starts} starts"
        match self.scope:
            case "settings":
                return f"measured here at {starts} with these settings{', under load' if self.busy else ''}"
            case "model":
                return f"weights and runtime measured here at {starts} with other settings"
        return f"runtime measured here at {starts} of other models of its kind"

    def to_json(self) -> dict[str, Any]:
        """The part of `estimate --json` that says it."""
        return asdict(self)
