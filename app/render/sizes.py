"""The sizes of a launch: what each one sets, what it takes of what there is, and whether that fits."""

from collections.abc import Sequence

from app.domain.fitting import bytes_of
from app.domain.sizes import Size, Verdict
from app.render.cells import Cell, Line, Tone, table

_SIGNS: dict[Verdict, tuple[str, Tone]] = {
    "fits": ("● fits", "good"),
    "tight": ("◔ tight", "look"),
    "no": ("✖ over", "bad"),
}
_WORDS: dict[Verdict, str] = {"fits": "fits", "tight": "tight", "no": "does not fit"}


def size_lines(sizes: Sequence[Size], chosen: str = "") -> list[Line]:
    """A line a size; the `chosen` one is accented."""
    rows = [
        (
            Cell(*_SIGNS[size.verdict]),
            Cell(size.name, "accent" if size.name == chosen else "plain"),
            bytes_of(size.need, size.room),
            Cell(what(size), "dim"),
        )
        for size in sizes
    ]
    return table(("FIT", "SIZE", "TAKES", "SETS"), rows, right=("TAKES",))[1:]


def what(size: Size) -> str:
    """What a size sets, requests at once by tokens of each: `4 × 4,096 tokens, q8_0 cache`."""
    parts = [f"{size.seqs} × {size.context:,} tokens"]
    if size.name == "smaller-cache":
        parts.append(f"{size.kv_type} cache")
    parts += [f"{flag} {value}" for flag, value in size.flags.items()]
    if size.model is not None:
        parts.append(size.model.rpartition("/")[2])
    return ", ".join(parts)


def verdict(size: Size) -> str:
    """Whether it fits, with the figures: `fits, 5.1 of 8.0 GiB`."""
    return f"{_WORDS[size.verdict]}, {bytes_of(size.need, size.room)}"
