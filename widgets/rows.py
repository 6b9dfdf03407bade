"""What every table of ours has in common: fixed headings, a cursor that is moved by key or mouse, rows by number."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.scroll_view import ScrollView

from widgets.columns import Column, Placed
from widgets.spans import Span
from widgets.theme import UNICODE, Glyphs, Inks

HEADER = 1
"""Lines above the first row."""


class Table(ScrollView, can_focus=True, inherit_bindings=False):
    """A subclass says how many rows there are, puts the cursor on one in `_go`, and tells in `action_select` that the
    one under it was chosen."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Table {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="table.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="table.up"),
        Binding("g,home", "first", "First", show=False, id="table.first"),
        Binding("G,end", "last", "Last", show=False, id="table.last"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("enter", "select", "Open", show=False, id="table.select"),
    ]

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
        self._index = 0
        self._placed: tuple[Placed, ...] = ()
        self._laid_out_for = -1
        self._inks: Inks | None = None

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def action_move(self, lines: int) -> None:
        self._go(self._index + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._index + pages * self._page)

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(self.row_count - 1)

    def action_select(self) -> None:
        raise NotImplementedError

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None:
            return
        event.stop()
        if place.y < HEADER:
            self._header_clicked(place.x)
            return
        index = self._top + place.y - HEADER
        if index < self.row_count:
            again = index == self._index
            self._go(index)
            if again or event.chain > 1:
                self.action_select()

    def on_focus(self) -> None:
        self._refresh_row(self._index)

    def on_blur(self) -> None:
        self._refresh_row(self._index)

    def notify_style_update(self) -> None:
        self._inks = None
        super().notify_style_update()

    @property
    def _top(self) -> int:
        return round(self.scroll_y)

    @property
    def _marker(self) -> Span:
        return (self._glyphs.cursor, "accent" if self.has_focus else "dim")

    @property
    def _page(self) -> int:
        return max(1, self.size.height - HEADER)

    def _go(self, index: int) -> None:
        raise NotImplementedError

    def _header_clicked(self, x: int) -> None:
        """The headings were clicked at column `x` of the widget."""

    def _reveal(self) -> None:
        if self._index < self._top:
            self._scroll(self._index)
        elif self._index >= self._top + self._page:
            self._scroll(self._index - self._page + 1)

    def _scroll(self, top: int) -> None:
        # By force: the scroll bar that allows it comes with a frame, and keys may come before that.
        self.scroll_to(y=top, animate=False, force=True)

    def _refresh_row(self, index: int) -> None:
        y = index - self._top + HEADER
        if HEADER <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))
