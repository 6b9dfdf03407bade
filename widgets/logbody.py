"""The body of a log pane: keeps up with the files, and draws the rows that its window shows."""

from dataclasses import dataclass
from functools import partial

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from widgets.logfile import LogSource, Stream
from widgets.logindex import LineIndex
from widgets.logmarks import Marks
from widgets.logpaint import Ground, Look, Painter, RowKey
from widgets.logsearch import Clean, Filter, Pattern
from widgets.logview import Place
from widgets.logwindow import Window
from widgets.logwork import Seen, look
from widgets.theme import UNICODE, Glyphs, Inks, inks

FAST_S, SLOW_S = 0.4, 1.0
"""Seconds between two looks at the files, and on a slow terminal."""


class LogBody(Widget, can_focus=True):
    """Shows a `LogSource` from its end. Files are read in threads, except for the few lines that are shown."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    LogBody {
        height: 1fr;
        background: $background;
        color: $foreground;
    }
    """

    @dataclass
    class Looked(Message, bubble=False):
        """A thread has looked at the files."""

        seen: Seen

    def __init__(
        self,
        source: LogSource,
        clean: Clean,
        *,
        times_width: int = 12,
        slow: bool = False,
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(id=id)
        self._source = source
        self._clean = clean
        self._times_width = times_width
        self._every_s = SLOW_S if slow else FAST_S
        self._glyphs = glyphs
        self._known = self._looking = False
        self._problem = ""
        self._filter: Filter | None = None
        self._pattern: Pattern | None = None
        self._marks = Marks()
        self._wrapped = self._times = False
        self._left = 0
        self._read_to = 0
        self._inks: Inks | None = None
        self._page: list[Place] = []
        self._shown: list[tuple[RowKey, str] | None] = []
        self._use_index(LineIndex(Stream()))

    def on_mount(self) -> None:
        self.set_interval(self._every_s, self._tick)

    def on_show(self) -> None:
        self._tick()

    def on_resize(self) -> None:
        self._shown = []
        self.redraw()
        self._tick()

    def notify_style_update(self) -> None:
        self._inks = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """A row of the page that `redraw` worked out."""
        width = self.size.width
        if self._inks is None:
            self._prepare()
        if y >= len(self._page) or self._inks is None:
            return Strip.blank(width, self.rich_style)
        item, row = self._page[y]
        strip = self._painter.strip(self._window.items.line(item), row, self._ground(y))
        note = self._note(y)
        if note:
            end = Segment(note, self._inks.line["accent"])
            strip = Strip([*strip.crop(0, max(0, width - cell_len(note))), end])
        return strip.adjust_cell_length(width, self.rich_style)

    def redraw(self) -> None:
        """Work out what is shown, and draw the rows that are not what they were."""
        width, height = self.size
        if not width or not height:
            return
        if self._prepare():
            self._shown = []
        window = self._window
        window.rows = height
        window.settle()
        self._page = window.page()
        shown_to = self._page[-1][0] + 1 if self._page else window.items.low
        self._read_to = window.items.high if window.following else max(self._read_to, shown_to)
        before, self._shown = self._shown, [self._row(y) for y in range(height)]
        for y, row in enumerate(self._shown):
            if y >= len(before) or row != before[y]:
                self.refresh(Region(0, y, width, 1))

    def settled(self) -> None:
        """Called after every look at the files, before what is shown is worked out."""

    def begun(self, offset: int | None) -> None:
        """Called when the lines have new numbers. `offset` is where the cursor was, None if it followed the end."""

    @property
    def _new(self) -> int:
        return self._window.items.high - self._read_to

    def _prepare(self) -> bool:
        if self._inks is None:
            self._inks = inks(self)
        times = self._times_width if self._times else 0
        how = Look(self.size.width, self._left, self._wrapped, times, self._pattern)
        return self._painter.use(how, self._inks, self._marks.by_line)

    def _row(self, y: int) -> tuple[RowKey, str] | None:
        """What tells a row of the screen from what stood there before."""
        if y >= len(self._page):
            return None
        item, row = self._page[y]
        return self._painter.key(self._window.items.line(item), row, self._ground(y)), self._note(y)

    def _ground(self, y: int) -> Ground:
        item = self._page[y][0]
        window = self._window
        # While it follows, the cursor is on the last line, which goes without saying.
        cursor = item == window.cursor and not window.following
        return Ground(cursor, item in window.chosen, y in window.thumb())

    def _note(self, y: int) -> str:
        return f" +{self._new:,} lines " if y == self.size.height - 1 and self._new > 0 else ""

    def _tick(self) -> None:
        if not self._looking and self.is_on_screen and self.screen.is_current:
            self._looking = True
            index = self._index if self._known else None
            self.run_worker(partial(self._look, index, self._filter), thread=True, group="look")

    def _look(self, index: LineIndex | None, chosen: Filter | None) -> None:
        worker = get_current_worker()
        seen = look(self._source, index, chosen, self._every_s / 2, lambda: not worker.is_cancelled)
        self.post_message(self.Looked(seen))

    def on_log_body_looked(self, message: Looked) -> None:
        self._looking = False
        seen = message.seen
        self._problem = seen.problem
        if seen.index is not None and seen.index is not self._index:
            line, following = self._window.line, self._window.following
            offset = None if following or line is None else self._index.start(line)
            self._known = True
            self._use_index(seen.index)
            self._window.following = following
            self.begun(offset)
        self._marks.place(self._index)
        self.settled()
        self.redraw()
        if not seen.problem and not (self._index if self._filter is None else self._filter).complete:
            self._tick()

    def _use_index(self, index: LineIndex) -> None:
        self._index = index
        painter = Painter(index, self._clean, self._source.time_at, self._glyphs)
        if self._filter is not None:
            self._filter = Filter(index, self._filter.pattern, self._clean)
        self._painter = painter
        self._marks = self._marks.replaced()
        self._window = Window(index if self._filter is None else self._filter, painter.height)
        self._read_to = self._window.items.high
