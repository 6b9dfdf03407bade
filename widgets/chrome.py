"""What stands around every screen: the header with its tabs, rules, the line of messages, the line of keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.timer import Timer

from widgets.lines import Bar
from widgets.plot import meter
from widgets.spans import Line, Span, cut_line, spread, width_of
from widgets.theme import UNICODE, Glyphs, StyleName

_PLACE = tuple[int, int, str]


def _at(places: Sequence[_PLACE], x: int) -> str | None:
    """Which of some clickable pieces (start, end, key) is at column `x`."""
    return next((key for start, end, key in places if start <= x < end), None)


class Header(Bar):
    """Name, tabs and, at the right, whatever the app has to say. The active tab is accented.

    When the width is short the name goes first, then the space between tabs, then what is said becomes its short form;
    at last tabs shrink to their key, from the right and the active one excepted.
    """

    @dataclass
    class TabSelected(Message):
        """A tab was clicked; `key` is its own."""

        key: str

    def __init__(self, title: str, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(glyphs=glyphs, id=id)
        self._title = title
        self._tabs: tuple[tuple[str, str], ...] = ()
        self._active = ""
        self._right: Line = ()
        self._short: Line = ()
        self._places: list[_PLACE] = []

    def set_tabs(self, tabs: Sequence[tuple[str, str]], active: str) -> None:
        """The tabs as (key, label), such as ("1", "fleet"), and the key of the active one."""
        if (tuple(tabs), active) != (self._tabs, self._active):
            self._tabs, self._active = tuple(tabs), active
            self.refresh()

    def set_right(self, right: Line, short: Line = ()) -> None:
        """What stands at the right end, and what of it is said where there is no room for all."""
        if (tuple(right), tuple(short)) != (tuple(self._right), tuple(self._short)):
            self._right, self._short = tuple(right), tuple(short)
            self.refresh()

    def spans(self, width: int) -> Line:
        tabs = len(self._tabs)
        wide, bare, tight = (f" {self._title}", "  ", tabs), ("", "  ", tabs), ("", " ", tabs)
        ways = [(way, self._right) for way in (wide, bare, tight)]
        ways += [(way, self._short) for way in (wide, bare, tight) if self._short]
        least = self._short or self._right
        ways += [((f" {self._title}", "  ", labelled), least) for labelled in range(tabs - 1, -1, -1)]
        for way, right in ways:
            left = self._left(*way)
            if width_of(left) + (width_of(right) + 2 if right else 0) + 1 <= width:
                break
        return spread(left, [*right, (" ", "plain")], width, self.glyphs.ellipsis)

    def on_click(self, event: events.Click) -> None:
        key = _at(self._places, event.x)
        if key is not None:
            self.post_message(self.TabSelected(key))

    def _left(self, title: str, gap: str, labelled: int) -> list[Span]:
        """The title, if any, and tabs, of which the first so many and the active one show their label."""
        spans: list[Span] = [(title, "strong")] if title else []
        self._places = []
        for n, (key, label) in enumerate(self._tabs):
            active = key == self._active
            text = f"{key} {label}" if active or n < labelled else key
            spans.append((gap if n <= labelled and spans else " ", "plain"))
            start = width_of(spans)
            spans.append((text, "accent" if active else "dim"))
            self._places.append((start, width_of(spans), key))
        return spans


class Rule(Bar):
    """A line between two regions of a screen."""

    def spans(self, width: int) -> Line:
        return [(self.glyphs.rule * width, "faint")]


class MessageLine(Bar):
    """One line for what just happened or for how far a long work has come. Progress stands until it is cleared."""

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(glyphs=glyphs, id=id)
        self._message: Line = ()
        self._progress: tuple[Line, float | None, Line] | None = None
        self._timer: Timer | None = None

    def show(self, message: Line, seconds: float | None = None) -> None:
        """Show a message, in front of any progress, for so many seconds or until the next one."""
        self._message = message
        if self._timer is not None:
            self._timer.stop()
        self._timer = None if seconds is None else self.set_timer(seconds, self._fade)
        self.refresh()

    def progress(self, label: Line, fraction: float | None, note: Line = ()) -> None:
        """Show how far a work has come, `fraction` from 0 to 1, None when that is not known."""
        progress = (tuple(label), fraction, tuple(note))
        if progress != self._progress:
            self._progress = progress
            self.refresh()

    def done(self) -> None:
        """Show no progress any more; a message stays."""
        if self._progress is not None:
            self._progress = None
            self.refresh()

    def clear(self) -> None:
        """Show nothing."""
        self._progress = None
        self.show(())

    def spans(self, width: int) -> Line:
        if self._message or self._progress is None:
            return [(" ", "plain"), *self._message]
        label, fraction, note = self._progress
        percent = "" if fraction is None else f" {fraction:.0%}"
        tail: list[Span] = [(percent, "plain"), *([("  ", "plain"), *note] if note else [])]
        head = cut_line([(" ", "plain"), *label, ("  ", "plain")], max(8, width - 10), self.glyphs.ellipsis)
        room = min(40, width - width_of(head) - width_of(tail) - 1)
        return [*head, *(meter(fraction, room, "cyan", self.glyphs) if room >= 4 else []), *tail]

    def _fade(self) -> None:
        self._timer = None
        self.show(())


class KeyLine(Bar):
    """The keys that work here, as (key, what it does). The last `keep` are shown whatever the width."""

    @dataclass
    class Pressed(Message):
        """A key was clicked; `key` is as it was given."""

        key: str

    def __init__(
        self,
        keys: Sequence[tuple[str, str]] = (),
        *,
        keep: int = 2,
        style: StyleName = "plain",
        glyphs: Glyphs = UNICODE,
        id: str | None = None,  # noqa: A002 - Textual's own name for it
    ) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._keys = tuple(keys)
        self._keep = keep
        self._style: StyleName = style
        self._places: list[_PLACE] = []

    def set_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Show these keys from now on, the most useful first."""
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def spans(self, width: int) -> Line:
        keys = list(self._keys)
        while len(keys) > self._keep and sum(width_of(self._piece(*key)) for key in keys) - 1 > width:
            keys.pop(len(keys) - self._keep - 1)
        spans: list[Span] = []
        self._places = []
        for key, label in keys:
            start = width_of(spans)
            spans += self._piece(key, label)
            self._places.append((start, width_of(spans), key))
        return spans

    def on_click(self, event: events.Click) -> None:
        key = _at(self._places, event.x)
        if key is not None:
            self.post_message(self.Pressed(key))

    def _piece(self, key: str, label: str) -> list[Span]:
        return [(f" {key}", self._style), (f" {label} ", "dim")]
