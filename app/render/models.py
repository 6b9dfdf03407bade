"""Models of the hub as JSON documents, and as the table that people read."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.render.cells import Cell, Line, line, table
from app.render.words import UNKNOWN, size

_SHORT = 8
"""As much of a commit as tells it from others."""


class KeptLike(Protocol):
    """What is shown of a model; `app.launch.cache.Kept` is one."""

    repo: str
    revision: str | None
    here: bool
    size: int
    begun: int
    hosts: list[str]
    variants: list[str]
    needed: bool
    missing: list[str]


def document(one: KeptLike) -> dict[str, Any]:
    """One entry of `models ls --json`. `size` and `partial` are bytes on this machine, `partial` of files not whole."""
    return {
        "name": one.repo,
        "revision": one.revision,
        "size": one.size,
        "partial": one.begun,
        "hosts": one.hosts,
        "variants": one.variants,
        "needed": one.needed,
        "missing": one.missing,
    }


def models_table(found: Sequence[KeptLike]) -> list[Line]:
    """What `models ls` shows; what nothing needs is said, with what it takes."""
    body = [
        (
            one.repo,
            (one.revision or UNKNOWN)[:_SHORT],
            size(one.size) if one.here else UNKNOWN,
            ", ".join(one.hosts) or UNKNOWN,
            ", ".join(one.variants) or UNKNOWN,
            _state(one),
        )
        for one in found
    ]
    lines = table(("MODEL", "REVISION", "SIZE", "HOSTS", "VARIANTS", "STATE"), body, right=("SIZE",))
    if idle := sum(one.size + one.begun for one in found if one.here and not one.needed):
        lines += [line(), line(f"Nothing needs {size(idle)} of it: stoker models rm NAME")]
    return lines


def _state(one: KeptLike) -> Cell:
    if one.begun:
        return Cell(f"{size(one.begun)} more begun", "busy")
    if one.missing:
        return Cell(f"{len(one.missing)} of its files missing", "look" if one.needed else "dim")
    return Cell("needed", "good") if one.needed else Cell("unused", "dim")
