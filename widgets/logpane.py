"""A log on disk as a widget: opens at its end whatever its size, follows, searches, filters, marks, copies."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message

from widgets.logfinder import LogFinder
from widgets.logwork import text_of

SHIFT = 8
"""Columns that left and right scroll by."""

WHEEL = 3
"""Rows that a turn of the mouse wheel scrolls by."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What there is to say about a log pane. `lines` counts those found so far, all of them once `complete`.

    `new` lines came while it does not follow; `matches` is None without a filter, `chosen` 0 without a selection.
    `number` is that of the line under the cursor, from 1, None while it is not known. `problem` is why the files cannot
    be read now, empty if they can.
    """

    lines: int = 0
    complete: bool = False
    following: bool = True
    new: int = 0
    matches: int | None = None
    chosen: int = 0
    number: int | None = None
    wrapped: bool = False
    times: bool = False
    problem: str = ""


class LogPane(LogFinder):
    """Shows a `LogSource`, with two and a half looks a second, one if `slow`, and only while it can be seen.

    `clean` makes one raw line fit to be shown; `times_width` is the width of the times that the source gives. What the
    keys below do not do, the app binds to the actions and methods. Escape is left to the app when there is nothing here
    to cancel.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="log.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="log.up"),
        Binding("g,home", "first", "First line", show=False, id="log.first"),
        Binding("G,end", "last", "End, and follow", show=False, id="log.last"),
        Binding("pagedown,space", "page(1)", "Page down", show=False, id="log.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="log.page_up"),
        Binding("l,right", "shift(1)", "Right", show=False, id="log.right"),
        Binding("h,left", "shift(-1)", "Left", show=False, id="log.left"),
        Binding("0", "shift(0)", "To the first column", show=False, id="log.column"),
        Binding("v", "choose", "Select lines", show=False, id="log.choose"),
        Binding("y", "copy", "Copy", show=False, id="log.copy"),
        Binding("escape", "cancel", "Cancel", show=False, id="log.cancel"),
    ]

    @dataclass
    class Changed(Message):
        """The pane's `state` is another one."""

        pane: "LogPane"
        state: LogState

        @property
        def control(self) -> "LogPane":
            return self.pane

    @dataclass
    class Copy(Message):
        """This text is wanted. `lines` were taken of the `asked` that were selected: there is a limit."""

        pane: "LogPane"
        text: str
        lines: int
        asked: int

        @property
        def control(self) -> "LogPane":
            return self.pane

    _said = LogState()

    @property
    def state(self) -> LogState:
        """What there is to say about the pane now."""
        index, line = self._index, self._window.line
        return LogState(
            lines=index.high - index.low,
            complete=self._known and index.complete,
            following=self._window.following,
            new=self._new,
            matches=None if self._filter is None else self._filter.high - self._filter.low,
            chosen=len(self._window.chosen),
            number=None if line is None else index.number(line),
            wrapped=self._wrapped,
            times=self._times,
            problem=self._problem,
        )

    def redraw(self) -> None:
        super().redraw()
        if self.state != self._said:
            self._said = self.state
            self.post_message(self.Changed(self, self._said))

    def follow(self, on: bool = True) -> None:
        """Follow the end of the log, or stay where it is."""
        self.stop_going()
        self._window.following = on
        self.redraw()

    def wrap(self, on: bool) -> None:
        """Show a long line in several rows, or in one that can be shifted."""
        self._wrapped, self._left = on, 0
        self.redraw()

    def show_times(self, on: bool) -> None:
        """Show the time of each line in front of it."""
        self._times = on
        self.redraw()

    def action_follow(self) -> None:
        self.follow(not self._window.following)

    def action_wrap(self) -> None:
        self.wrap(not self._wrapped)

    def action_times(self) -> None:
        self.show_times(not self._times)

    def action_again(self, forward: bool = True) -> None:
        self.search_again(forward)

    def action_mark(self, forward: bool = True) -> None:
        self.go_to_mark(forward)

    def action_move(self, lines: int) -> None:
        self.stop_going()
        self._window.go(self._window.cursor + lines)
        self.redraw()

    def action_page(self, pages: int) -> None:
        self.stop_going()
        self._window.turn(pages)
        self.redraw()

    def action_first(self) -> None:
        # Of a filtered list, what has been found so far is all that there is to go to.
        if self._filter is None:
            self.go_to_offset(self._index.stream.start)
        else:
            self._window.look_at(self._filter.low)
            self.redraw()

    def action_last(self) -> None:
        # A selection is drawn to the end; following would carry it away.
        if self._window.anchor is None:
            self.follow()
        else:
            self._window.go(self._window.items.high - 1)
            self.redraw()

    def action_shift(self, steps: int) -> None:
        self._left = 0 if self._wrapped or not steps else max(0, self._left + steps * SHIFT)
        self.redraw()

    def action_choose(self) -> None:
        """Begin a selection at the cursor, or give it up."""
        window = self._window
        window.following = False
        window.anchor = window.cursor if window.anchor is None and window.line is not None else None
        self.redraw()

    def action_copy(self) -> None:
        """Ask the app to copy the selected lines, or the one under the cursor."""
        window = self._window
        if window.line is None:
            return
        items = window.chosen or range(window.cursor, window.cursor + 1)
        window.anchor = None
        self.redraw()
        self.run_worker(partial(self._copy, items), thread=True, group="copy")

    def action_cancel(self) -> None:
        """Cancel a search, the way to a place, or a selection: whichever there is."""
        if self.stop_search() or self.stop_going():
            return
        if self._window.anchor is None:
            raise SkipAction
        self._window.anchor = None
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        if event.x >= self.size.width - 1 and self._window.thumb():
            self._window.jump(event.y)
        elif event.y < len(self._page):
            self._window.look_at(self._page[event.y][0])
        self.stop_going()
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(event, WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(event, -WHEEL)

    def _scroll(self, event: events.MouseEvent, rows: int) -> None:
        event.stop()
        self.stop_going()
        self._window.scroll(rows)
        self.redraw()

    def _copy(self, items: range) -> None:
        """In a thread: read what is copied."""
        lines_of = map(self._window.items.line, items)
        text, lines = text_of(self._index, lines_of, self._clean, self._glyphs)
        self.post_message(self.Copy(self, text, lines, len(items)))
