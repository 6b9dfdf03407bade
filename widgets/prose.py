"""Running text in a column: paragraphs with their words kept whole, growing at the end and followed as it grows."""

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, get_character_cell_size
from textual.binding import Binding, BindingType

from widgets.lines import Lines
from widgets.spans import Line
from widgets.theme import UNICODE, Glyphs, StyleName

Block = tuple[str, StyleName]
"""Text of one style, in as many lines as it takes. It may hold line breaks, but no other control characters."""

MARGIN = 1
_CROWD = 4
"""At most so many characters a column go into a line: a text of nothing but combining marks has no width at all."""
_PIECE = re.compile(r" *[^ ]+| +")


class Flow:
    """Text in lines of at most `width` columns. What is added at its end changes no line but the last."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self._closed: list[str] = []
        self._open = ""

    @property
    def lines(self) -> list[str]:
        """All lines, at least one."""
        return [*self._closed, self._open.rstrip(" ")]

    def add(self, text: str) -> None:
        """Put text behind what is there."""
        first, *others = text.split("\n")
        self._wrap(self._open + first)
        for paragraph in others:
            self._closed.append(self._open.rstrip(" "))
            self._wrap(paragraph)

    def _wrap(self, text: str) -> None:
        line, used, most = "", 0, self._width * _CROWD
        for match in _PIECE.finditer(text):
            piece = match[0]
            size = cell_len(piece)
            if used + size <= self._width and len(line) + len(piece) <= most:
                line, used = line + piece, used + size
                continue
            word = piece.lstrip(" ") if line else piece
            if not word:
                line += piece  # blanks at the end of a line take no room, whatever follows
            elif cell_len(word) <= self._width and len(word) <= most:
                self._closed.append(line.rstrip(" "))
                line, used = word, cell_len(word)
            else:
                *whole, line = chop(piece, self._width, used, most, line)
                self._closed += whole
                used = cell_len(line)
        self._open = line


def chop(text: str, width: int, used: int, most: int, line: str) -> list[str]:
    """`text` behind the `line` that is begun, `used` columns wide, in lines of at most `width` columns and `most`
    characters: for what has no place to break at."""
    found, parts = [], [line]
    count = len(line)
    for char in text:
        size = get_character_cell_size(char)
        if used + size > width or count >= most:
            found.append("".join(parts))
            parts, used, count = [], 0, 0
        parts.append(char)
        used, count = used + size, count + 1
    return [*found, "".join(parts)]


class Prose(Lines):
    """Blocks of text under each other, wrapped to the width. It stays at its end while text is added there, unless
    somebody has scrolled away from it."""

    DEFAULT_CSS = """
    Prose { height: 1fr; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_by(1)", "Down", show=False, id="prose.down"),
        Binding("k,up", "scroll_by(-1)", "Up", show=False, id="prose.up"),
        Binding("g,home", "scroll_to_line(0)", "Top", show=False, id="prose.first"),
        Binding("G,end", "follow", "End", show=False, id="prose.last"),
        Binding("pagedown,space", "page(1)", "Page down", show=False, id="prose.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="prose.page_up"),
    ]

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(glyphs=glyphs, focusable=True, id=id)
        self._blocks: list[Block] = []
        self._before: list[Line] = []
        self._flow = Flow(1)
        self._style: StyleName = "plain"
        self._width = 0
        self._follows = True
        self._adjusting = False

    @property
    def following(self) -> bool:
        """Whether the end stays in view, whatever is added or however the size changes."""
        return self._follows

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._adjusting:
            self._follows = round(new_value) >= self.max_scroll_y

    def set_blocks(self, blocks: Sequence[Block]) -> None:
        """Show these blocks and nothing else."""
        self._blocks = list(blocks)
        self._wrap()

    def add(self, text: str) -> None:
        """Put text behind the last block, in its style."""
        if not self._blocks or not text:
            return
        last, style = self._blocks[-1]
        self._blocks[-1] = (last + text, style)
        self._flow.add(text)
        self._draw()

    def on_resize(self) -> None:
        if self.scrollable_content_region.width != self._width:
            self._wrap()
        else:
            self._keep_end()

    def action_scroll_by(self, lines: int) -> None:
        self.scroll_to(y=round(self.scroll_y) + lines, animate=False)

    def action_scroll_to_line(self, line: int) -> None:
        self.scroll_to(y=line, animate=False)

    def action_page(self, pages: int) -> None:
        self.action_scroll_by(pages * max(1, self.size.height - 1))

    def action_follow(self) -> None:
        self._follows = True
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def _wrap(self) -> None:
        self._width = self.scrollable_content_region.width
        self._before, self._flow = [], Flow(self._width - MARGIN)
        for n, (text, style) in enumerate(self._blocks):
            if n:
                self._before += self._flowing()
            self._flow, self._style = Flow(self._width - MARGIN), style
            self._flow.add(text)
        self._draw()

    def _draw(self) -> None:
        self._adjusting = True
        self.set_lines([*self._before, *self._flowing()] if self._blocks else [])
        self._adjusting = False
        self._keep_end()
        # Where the end is may change once more when the widget is laid out anew.
        self.call_after_refresh(self._keep_end)

    def _keep_end(self) -> None:
        if self._follows:
            self._adjusting = True
            self.scroll_to(y=self.max_scroll_y, animate=False)
            self._adjusting = False

    def _flowing(self) -> list[Line]:
        return [[(" " * MARGIN + line, self._style)] for line in self._flow.lines]
