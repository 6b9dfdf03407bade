"""What hosts have in store as lines: engines and their images, weights, and the room on their disks."""

from collections.abc import Collection, Iterator, Mapping

from app.domain.engines import Preset
from app.domain.stock import Disk, Image, Stock
from app.render.cells import Cell, Line, line, table
from app.render.words import UNKNOWN, ago, size

_LITTLE = 0.05
"""The fraction of a disk that is still free below which it is worth a look."""
_DISKS: Mapping[str, str] = {"weights": "disk for weights", "images": "disk for images"}
Engines = Mapping[str, Preset]


def engine_lines(stock: Stock, engines: Engines, installed: Collection[str], now: int) -> list[Line]:
    """Which engines a host could run at once: those `installed` as programs, and those whose image is there."""
    rows: list[tuple[Cell | str, ...]] = [(name, "", "", "installed, runs as a process") for name in sorted(installed)]
    known: set[str] = set()
    for name, preset in engines.items():
        if preset.container is None:
            continue
        images = stock.of_engine(preset.container.images)
        known |= {image.id for image in images}
        rows += [_image_row(name, image) for image in images]
        if not images and stock.docker is not None:
            rows.append((name, Cell("to pull", "dim"), "", Cell(preset.container.images[-1], "dim")))
    others = [image for image in stock.images if image.id not in known]
    lines = [_daemon(stock, now), *(table(("ENGINE", "SIZE", "DIGEST", "IMAGE"), rows, ("SIZE",)) if rows else ())]
    if others:
        count = f"{len(others)} other image{'s' * (len(others) != 1)}"
        lines.append(line(Cell(f"{count}, {size(sum(image.size for image in others))}", "dim")))
    return [*lines, *_disk_lines(stock, "images")]


def weight_lines(stock: Stock, now: int) -> list[Line]:
    """Which weights a host has, the largest first, and the room for more."""
    kept = sorted(stock.weights, key=lambda each: (-(each.size or 0), each.name))
    rows = [(size(each.size), each.place, each.name) for each in kept]
    none = line(Cell("no weights here", "dim"))
    lines = table(("SIZE", "WHERE", "MODEL"), rows, ("SIZE",)) if rows else [none]
    total = sum(each.size or 0 for each in kept)
    if len(kept) > 1:
        lines.append(line(Cell(f"{size(total)} in all", "dim")))
    return [*lines, *_disk_lines(stock, "weights"), line(Cell(f"seen {ago(now, stock.at)}", "dim"))]


def _daemon(stock: Stock, now: int) -> Line:
    seen = Cell(f"  seen {ago(now, stock.at)}", "dim")
    if stock.docker is None:
        return line(Cell("no Docker: ", "look"), Cell(stock.detail or UNKNOWN), seen)
    return line(f"Docker {stock.docker}", seen)


def _image_row(engine: str, image: Image) -> tuple[Cell | str, ...]:
    name = ", ".join(name.removeprefix("docker.io/") for name in image.names) or UNKNOWN
    # Built here it has no digest that a registry knows; its own id tells it apart all the same.
    digest = (image.digest or image.id).removeprefix("sha256:")[:12]
    return engine, size(image.size), Cell(digest, "plain" if image.digest else "dim"), name


def _disk_lines(stock: Stock, holds: str) -> Iterator[Line]:
    yield from (_disk_line(disk) for disk in stock.disks if disk.holds == holds)


def _disk_line(disk: Disk) -> Line:
    little = disk.free < disk.total * _LITTLE
    text = f"{_DISKS[disk.holds]}: {size(disk.free)} free of {size(disk.total)}"
    return line(Cell(text, "look" if little else "dim"))
