"""A table of any length, of which only the lines in view are known: it says which it wants, and is given them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.columns import MARGIN, Column, Placed, header, lay_out, row
from widgets.spans import Line, Span
from widgets.table import HEADER, KEYS
from widgets.theme import UNICODE, Glyphs, Inks, inks


class WindowTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows by number, from 0 on. `wanted` are those to be given with `set_window`; until then a row is an ellipsis."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    WindowTable {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = KEYS

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
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._glyphs = glyphs
        self._total = self._index = self._start = 0
        self._rows: Sequence[tuple[str, Line]] = ()
        self._awaited = False
        self._placed: tuple[Placed, ...] = ()
        self._laid_out_for = -1
        self._inks: Inks | None = None

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
            self.scroll_to(y=self._top + added, animate=False, force=True)
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
        if self._awaited:
            self.action_select()

    def restart(self) -> None:
        """Other rows altogether: begin at the top, with nothing known."""
        self._index, self._rows, self._awaited = 0, (), False
        self.scroll_to(y=0, animate=False, force=True)
        self.refresh()

    def action_move(self, lines: int) -> None:
        self._go(self._index + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._index + pages * self._page)

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(self._total - 1)

    def action_select(self) -> None:
        """Choose the row under the cursor, as soon as it is known."""
        self._awaited = self.cursor_key is None and self._total > 0
        if self.cursor_key is not None:
            self.post_message(self.RowSelected(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or place.y < HEADER:
            return
        event.stop()
        index = self._top + place.y - HEADER
        if index < self._total:
            again = index == self._index
            self._go(index)
            if again or event.chain > 1:
                self.action_select()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        first, behind = self.wanted
        if first < self._start or behind > self._start + len(self._rows):
            self.post_message(self.Wanted(self))

    def notify_style_update(self) -> None:
        self._inks = None
        super().notify_style_update()

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
        marker: Span | None = (
            (self._glyphs.cursor, "accent" if self.has_focus else "dim") if index == self._index else None
        )
        return row(self._placed, line, marker, width, self._inks, self._glyphs)

    @property
    def _top(self) -> int:
        return round(self.scroll_y)

    @property
    def _page(self) -> int:
        return max(1, self.size.height - HEADER)

    def _go(self, index: int) -> None:
        self._awaited = False
        self._index = max(0, min(index, self._total - 1))
        # By force: the scroll bar that allows it comes with a frame, and keys may come before that.
        if self._index < self._top:
            self.scroll_to(y=self._index, animate=False, force=True)
        elif self._index >= self._top + self._page:
            self.scroll_to(y=self._index - self._page + 1, animate=False, force=True)
        self.refresh()
