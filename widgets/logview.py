"""Which rows of which items a window shows, and how a long line is wrapped. Pure.

An item takes one row, or several when lines are wrapped. A place is an item and one of its rows; heights are asked for
only near the window, so that ten million items cost nothing.
"""

from collections.abc import Callable
from typing import Protocol

from rich.cells import cell_len, get_character_cell_size

Place = tuple[int, int]
Height = Callable[[int], int]


class Items(Protocol):
    """A list of lines that may grow at both ends: all of an index, or those that a filter found."""

    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...
    def line(self, item: int) -> int: ...
    def item(self, line: int) -> int: ...


def page(top: Place, rows: int, high: int, height: Height) -> list[Place]:
    """The places shown in a window of `rows` rows that begins at `top`."""
    places: list[Place] = []
    item, row = top
    while len(places) < rows and item < high:
        places += [(item, n) for n in range(row, min(height(item), row + rows - len(places)))]
        item, row = item + 1, 0
    return places


def up(top: Place, rows: int, low: int, height: Height) -> Place:
    """The place `rows` rows above `top`, but not above the first item."""
    item, row = top
    while rows > row and item > low:
        rows -= row + 1
        item -= 1
        row = height(item) - 1
    return (item, max(0, row - rows))


def down(top: Place, rows: int, high: int, height: Height) -> Place:
    """The place `rows` rows below `top`, but not below the last item."""
    item, row = top
    while item < high - 1 and row + rows >= height(item):
        rows -= height(item) - row
        item, row = item + 1, 0
    return (item, min(row + rows, height(item) - 1)) if item < high else top


def last_top(rows: int, low: int, high: int, height: Height) -> Place:
    """The top of a window that shows the last rows there are."""
    return up((high, 0), rows, low, height) if high > low else (low, 0)


def show(item: int, top: Place, rows: int, low: int, height: Height) -> Place:
    """The top nearest to `top` of a window in which `item` is seen, its first rows if not all."""
    if item <= top[0]:
        return (item, 0) if item < top[0] or top[1] else top
    tall = min(height(item), rows)
    highest = up((item, 0), rows - tall, low, height)
    return max(top, highest)


def wrap(text: str, width: int) -> list[str]:
    """`text` in pieces of at most `width` columns, at least one. Words are not kept whole: a log is read by column."""
    width = max(1, width)
    if text.isascii():
        return [text[i : i + width] for i in range(0, len(text), width)] or [""]
    pieces: list[str] = []
    start = used = 0
    for i, char in enumerate(text):
        size = get_character_cell_size(char)
        if used + size > width and i > start:
            pieces.append(text[start:i])
            start, used = i, 0
        used += size
    return [*pieces, text[start:]]


def window(text: str, left: int, width: int) -> tuple[str, int]:
    """The part of `text` from column `left` on in at most `width` columns, and the index of its first character.

    Looks at no more of a long line than it must.
    """
    if text.isascii():
        return text[left : left + width], left
    start, used = 0, 0
    while start < len(text) and used < left:
        used += get_character_cell_size(text[start])
        start += 1
    end, used = start, 0
    while end < len(text) and (used := used + get_character_cell_size(text[end])) <= width:
        end += 1
    return text[start:end], start


def columns(text: str) -> int:
    """Columns that a line takes."""
    return len(text) if text.isascii() else cell_len(text)
