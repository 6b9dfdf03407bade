"""A table of any length, of which only the lines in view are known: it says which it wants, and is given them."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from widgets.columns import MARGIN, Column, header, lay_out, row
from widgets.rows import HEADER, Table
from widgets.spans import Line
from widgets.theme import UNICODE, Glyphs, inks


class WindowTable(Table):
    """Rows by number, from 0 on. `wanted` are those to be given with `set_window`; until then a row is an ellipsis."""

    @dataclass
    class Wanted(Message):
        """Other rows than those given last are in view."""

        table: "WindowTable"

    @dataclass
    class RowSelected(Message):
        """A row was chosen: its key, as it was given."""

        table: "WindowTable"
        key: str

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(columns, glyphs=glyphs, id=id)
        self._total = self._start = 0
        self._rows: Sequence[tuple[str, Line]] = ()
        self._chosen = False

    @property
    def row_count(self) -> int:
        return self._total

    @property
    def wanted(self) -> tuple[int, int]:
        """The rows to give: those in view, with a page before and after. (first, one behind the last)"""
        return max(0, self._top - self._page), min(self._total, self._top + 2 * self._page)

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor; None while it is not known."""
        place = self._index - self._start
        return self._rows[place][0] if 0 <= place < len(self._rows) else None

    def set_total(self, total: int, added: int = 0) -> None:
        """There are `total` rows now, `added` of them new at the top: what is in view stays, unless that is the top."""
        if added and self._top:
            self._index, self._start = self._index + added, self._start + added
            self.virtual_size = Size(0, total + HEADER)
            self._scroll(self._top + added)
        elif added and self._index:
            self._index += added
        self._total = total
        self._index = max(0, min(self._index, total - 1))
        if self.virtual_size.height != total + HEADER:
            self.virtual_size = Size(0, total + HEADER)

    def set_window(self, start: int, rows: Sequence[tuple[str, Line]]) -> None:
        """The rows from number `start` on, each a key and a cell for every column."""
        if (start, list(rows)) != (self._start, list(self._rows)):
            self._start, self._rows = start, rows
            self.refresh()
        if self._chosen and self.cursor_key is not None:
            self.action_select()

    def restart(self) -> None:
        """Other rows altogether: begin at the top, with nothing known."""
        self._index, self._rows, self._chosen = 0, (), False
        self._scroll(0)
        self.refresh()

    def action_select(self) -> None:
        # Typed ahead of the row: it is chosen once it is known.
        self._chosen = self.cursor_key is None and self._total > 0
        if self.cursor_key is not None:
            self.post_message(self.RowSelected(self, self.cursor_key))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        first, behind = self.wanted
        if first < self._start or behind > self._start + len(self._rows):
            self.post_message(self.Wanted(self))

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, a row, or nothing below the last row."""
        width = self.scrollable_content_region.width
        if self._inks is None:
            self._inks = inks(self)
        if width != self._laid_out_for:
            self._placed, self._laid_out_for = lay_out(self._columns, width - MARGIN), width
        if y < HEADER:
            return header(self._placed, None, width, self._inks, self._glyphs)
        index = self._top + y - HEADER
        if index >= self._total:
            return Strip.blank(width, self._inks.line["plain"])
        place = index - self._start
        unknown: Line = [(self._glyphs.ellipsis, "dim")]
        line = self._rows[place][1] if 0 <= place < len(self._rows) else unknown
        marker = self._marker if index == self._index else None
        return row(self._placed, line, marker, width, self._inks, self._glyphs)

    def _go(self, index: int) -> None:
        self._index, self._chosen = max(0, min(index, self._total - 1)), False
        self._reveal()
        self.refresh()
