"""A table on Textual's line API: no widget a row, and an update draws only the lines that changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from widgets.columns import GAP, MARGIN, Column, header, lay_out, row
from widgets.rows import HEADER, Table
from widgets.spans import Line, Span
from widgets.theme import UNICODE, Glyphs, Inks, inks


class LineTable(Table):
    """Rows of styled cells under fixed headings, with a cursor that stays on its row whatever happens around it.

    A row is a key and one cell for each column, in the order of the columns. Filtering, sorting and a narrower set of
    columns are the caller's: it sets rows and columns, and says with `set_sort` what the header shows.
    """

    @dataclass
    class RowHighlighted(Message):
        """The cursor came to another row, or to none (`key` None) because no row is left."""

        table: "LineTable"
        key: str | None

        @property
        def control(self) -> "LineTable":
            return self.table

    @dataclass
    class RowSelected(Message):
        """A row was chosen: enter on the cursor, a double click, or a click on the row under the cursor."""

        table: "LineTable"
        key: str

        @property
        def control(self) -> "LineTable":
            return self.table

    @dataclass
    class HeaderSelected(Message):
        """A heading was clicked; `column` is the column's key."""

        table: "LineTable"
        column: str

        @property
        def control(self) -> "LineTable":
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(columns, glyphs=glyphs, id=id)
        self._keys: list[str] = []
        self._cells: dict[str, tuple[Span, ...]] = {}
        self._cursor: str | None = None
        self._sort: tuple[str, bool] | None = None
        self._strips: dict[tuple[str, bool], tuple[Line, Strip]] = {}

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor; None when there are no rows."""
        return self._cursor

    @property
    def row_count(self) -> int:
        """How many rows are set."""
        return len(self._keys)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns, as for another terminal width. The rows must be set to match."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._forget()

    def set_sort(self, column: str | None, reverse: bool = False) -> None:
        """Show in the header that rows are sorted by `column`, downwards if `reverse`."""
        sort = None if column is None else (column, reverse)
        if sort != self._sort:
            self._sort = sort
            self.refresh(Region(0, 0, self.size.width, HEADER))

    def set_rows(self, rows: Iterable[tuple[str, Line]]) -> None:
        """Replace all rows. Lines whose row and content stay the same are not drawn again.

        The cursor stays on its key; if that is gone it stays where it was, and `RowHighlighted` says on which row.
        Raises ValueError if two rows share a key.
        """
        pairs = [(key, tuple(line)) for key, line in rows]
        cells = dict(pairs)
        if len(cells) != len(pairs):
            raise ValueError("two rows of a table share a key")
        shown = self._shown()
        in_view = self._top <= self._index < self._top + self._page
        self._keys, self._cells = list(cells), cells
        before = self._cursor
        if before is not None and before in cells:
            self._index = self._keys.index(before)
        else:
            self._index = max(0, min(self._index, len(pairs) - 1))
            self._cursor = self._keys[self._index] if pairs else None
        height = len(pairs) + HEADER
        if self.virtual_size.height != height:
            self.virtual_size = Size(0, height)
        if in_view:
            self._reveal()
        self._refresh_changed(shown)
        if self._cursor != before:
            self.post_message(self.RowHighlighted(self, self._cursor))

    def move_to(self, key: str) -> bool:
        """Put the cursor on a row and show it; False if there is no such row."""
        if key not in self._cells:
            return False
        self._go(self._keys.index(key))
        return True

    def action_select(self) -> None:
        if self._cursor is not None:
            self.post_message(self.RowSelected(self, self._cursor))

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line of the widget: the header, a row, or nothing below the last row."""
        width = self.scrollable_content_region.width
        ink = self._ink(width)
        if y < HEADER:
            return header(self._placed, self._sort, width, ink, self._glyphs)
        index = self._top + y - HEADER
        if index >= len(self._keys):
            return Strip.blank(width, ink.line["plain"])
        key = self._keys[index]
        line, here = self._cells[key], key == self._cursor
        cached = self._strips.get((key, here))
        if cached is not None and cached[0] == line:
            return cached[1]
        strip = row(self._placed, line, self._marker if here else None, width, ink, self._glyphs)
        if len(self._strips) > 4 * max(64, self.size.height):
            self._strips.clear()
        self._strips[key, here] = (line, strip)
        return strip

    def _go(self, index: int) -> None:
        index = max(0, min(index, len(self._keys) - 1))
        if not self._keys or index == self._index:
            self._reveal()
            return
        self._refresh_row(self._index)
        self._index, self._cursor = index, self._keys[index]
        self._reveal()
        self._refresh_row(index)
        self.post_message(self.RowHighlighted(self, self._cursor))

    def _shown(self) -> list[tuple[str, Line, bool]]:
        keys = self._keys[self._top : self._top + self._page]
        return [(key, self._cells[key], key == self._cursor) for key in keys]

    def _refresh_changed(self, before: Sequence[tuple[str, Line, bool]]) -> None:
        if not self.size.height:
            self.refresh()  # hidden: what was drawn before must not be shown again as it was
            return
        after = self._shown()
        for y in range(max(len(before), len(after))):
            if y >= len(before) or y >= len(after) or before[y] != after[y]:
                self.refresh(Region(0, y + HEADER, self.size.width, 1))

    def _refresh_row(self, index: int) -> None:
        # The marker differs with the focus, which no cached strip knows of.
        self._strips.pop((self._cursor or "", True), None)
        super()._refresh_row(index)

    def _forget(self) -> None:
        self._laid_out_for = -1
        self._strips.clear()
        self.refresh()

    def _ink(self, width: int) -> Inks:
        if width != self._laid_out_for:
            self._placed = lay_out(self._columns, width - MARGIN)
            self._laid_out_for = width
            self._strips.clear()
        if self._inks is None:
            self._inks = inks(self)
        return self._inks

    def _header_clicked(self, x: int) -> None:
        for placed in self._placed:
            if x < MARGIN + placed.x + placed.width + GAP // 2:
                self.post_message(self.HeaderSelected(self, placed.column.key))
                return
