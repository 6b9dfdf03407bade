"""What a log pane shows and where its cursor is: the part of the pane that can be thought about without a screen."""

from collections.abc import Callable

from widgets.logview import Items, Place, down, last_top, page, show, up


class Window:
    """`rows` rows on a list of items, with a cursor on one of them, or following the end.

    `height` says how many rows a line takes. While it follows, the cursor is the last item.
    """

    def __init__(self, items: Items, height: Callable[[int], int]) -> None:
        self.items = items
        self.rows = 0
        self.top: Place = (0, 0)
        self.cursor = -1
        self.anchor: int | None = None
        self.following = True
        self._height = height
        self._held: int | None = None

    @property
    def line(self) -> int | None:
        """The line under the cursor; None if there is no line."""
        return self.items.line(self.cursor) if self.items.low <= self.cursor < self.items.high else None

    @property
    def near(self) -> int | None:
        """The line under the cursor, or the one that the cursor goes to when this list has come that far."""
        return self.line if self._held is None else self._held

    @property
    def chosen(self) -> range:
        """The items that are selected, none if no selection was begun."""
        if self.anchor is None:
            return range(0)
        return range(min(self.anchor, self.cursor), max(self.anchor, self.cursor) + 1)

    def use(self, items: Items) -> None:
        """Show another list, with the cursor on the same line or the nearest one there, even one that comes later."""
        self._held = self.near
        self.items, self.anchor = items, None
        self.settle()

    def settle(self) -> None:
        """Make the window right again after the list, the heights or the room have changed."""
        low, high = self.items.low, self.items.high
        end = last_top(self.rows, low, high, self._rows_of)
        if self.following:
            self.cursor, self.top, self._held = high - 1, end, None
        elif self._held is not None and high > low:
            self.cursor = self.items.item(self._held)
            self.top = min(up((self.cursor, 0), self.rows // 2, low, self._rows_of), end)
        else:
            self.cursor = max(low, min(high - 1, self.cursor))
            self.top = max((low, 0), min(self.top, end))

    def go(self, item: int) -> None:
        """Put the cursor on an item, and show it. Moving away from the end stops following."""
        item = max(self.items.low, min(self.items.high - 1, item))
        if item < self.cursor:
            self.following = False
        self.cursor, self._held = item, None
        if not self.following:
            self.top = show(item, self.top, self.rows, self.items.low, self._rows_of)
            self.settle()

    def look_at(self, item: int) -> None:
        """Put the cursor on an item from elsewhere, in the middle of the window if it is not in it already."""
        self.following, self._held = False, None
        self.cursor = max(self.items.low, min(self.items.high - 1, item))
        if not any(place[0] == self.cursor for place in self.page()):
            self.top = up((self.cursor, 0), self.rows // 2, self.items.low, self._rows_of)
        self.settle()

    def look_at_line(self, line: int) -> None:
        """Put the cursor on a line, or the nearest one in this list until the list has come that far."""
        self.look_at(self.items.item(line))
        self._held = None if self.line == line else line

    def scroll(self, rows: int) -> None:
        """Move the window so many rows down, or up if negative; the cursor comes along when it would be left behind."""
        self._held = None
        if rows < 0:
            self.following = False
            self.top = up(self.top, -rows, self.items.low, self._rows_of)
        else:
            self.top = down(self.top, rows, self.items.high, self._rows_of)
        self.settle()
        places = self.page()
        if places and not self.following:
            self.cursor = max(places[0][0], min(places[-1][0], self.cursor))

    def turn(self, pages: int) -> None:
        """Turn pages. At either end the cursor goes to the first or the last item."""
        before = self.top
        self.scroll(pages * max(1, self.rows - 1))
        if self.top == before:
            self.go(self.items.high - 1 if pages > 0 else self.items.low)

    def page(self) -> list[Place]:
        """The places shown."""
        return page(self.top, self.rows, self.items.high, self._rows_of)

    def thumb(self) -> range:
        """The rows beside which the scroll bar's thumb stands; none while everything is in view."""
        total = self.items.high - self.items.low
        if total <= self.rows or self.rows <= 0:
            return range(0)
        length = max(1, self.rows * self.rows // total)
        room = self.rows - length
        begin = round((self.top[0] - self.items.low) / (total - self.rows) * room)
        begin = max(0, min(room, begin))
        return range(begin, begin + length)

    def jump(self, row: int) -> None:
        """Scroll to where a click beside `row` of the scroll bar points."""
        total = self.items.high - self.items.low
        self.following, self._held = False, None
        self.top = (self.items.low + total * row // max(1, self.rows), 0)
        self.scroll(0)

    def _rows_of(self, item: int) -> int:
        return self._height(self.items.line(item))
