"""Widgets that show lines of spans: a block that scrolls, and the base of every one-line bar."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from widgets.spans import Line, Span, draw
from widgets.theme import UNICODE, Glyphs, Inks, inks


class Lines(ScrollView, can_focus=False, inherit_bindings=False):
    """A block of styled lines. As tall as its lines unless styled otherwise; scrolls when it has less room.

    A new set of lines draws only those that differ. Given `focusable`, it scrolls by key.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Lines {
        height: auto;
        max-height: 100%;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "Down", show=False, id="lines.down"),
        Binding("k,up", "scroll_up", "Up", show=False, id="lines.up"),
        Binding("g,home", "scroll_home", "Top", show=False, id="lines.first"),
        Binding("G,end", "scroll_end", "End", show=False, id="lines.last"),
        Binding("pagedown,space", "page_down", "Page down", show=False, id="lines.page_down"),
        Binding("pageup", "page_up", "Page up", show=False, id="lines.page_up"),
    ]

    def __init__(
        self,
        lines: Iterable[Line] = (),
        *,
        glyphs: Glyphs = UNICODE,
        focusable: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(id=id)
        self.can_focus = focusable
        self._glyphs = glyphs
        self._lines: list[tuple[Span, ...]] = [tuple(line) for line in lines]
        self._inks: Inks | None = None

    def on_mount(self) -> None:
        self.virtual_size = Size(0, len(self._lines))

    def set_lines(self, lines: Iterable[Line]) -> None:
        """Show these lines from now on."""
        before, self._lines = self._lines, [tuple(line) for line in lines]
        if len(self._lines) != len(before):
            self.virtual_size = Size(0, len(self._lines))
        top = round(self.scroll_y)
        if not self.size.height:
            self.refresh()  # hidden: what was drawn before must not be shown again as it was
        for y in range(self.size.height):
            if self._lines[top + y : top + y + 1] != before[top + y : top + y + 1]:
                self.refresh(Region(0, y, self.size.width, 1))

    def notify_style_update(self) -> None:
        self._inks = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        if self._inks is None:
            self._inks = inks(self)
        index = round(self.scroll_y) + y
        line = self._lines[index] if index < len(self._lines) else ()
        return draw(line, self.scrollable_content_region.width, self._inks.line, self._glyphs.ellipsis)


class Bar(Widget):
    """One line across the screen. A subclass says in `spans` what it shows in a given width."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Bar {
        height: 1;
        width: 100%;
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.glyphs = glyphs
        self._inks: Inks | None = None

    def spans(self, width: int) -> Line:
        """What the bar shows in `width` columns."""
        raise NotImplementedError

    def notify_style_update(self) -> None:
        self._inks = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        if self._inks is None:
            self._inks = inks(self)
        width = self.size.width
        return draw(self.spans(width) if y == 0 else (), width, self._inks.line, self.glyphs.ellipsis)
