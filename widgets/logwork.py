"""What a log pane has done in threads: looking for news, searching, reading what is copied. Knows no widget."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from widgets.logfile import LogSource, open_stream
from widgets.logindex import LineIndex
from widgets.logpaint import readable
from widgets.logsearch import Clean, Filter
from widgets.theme import Glyphs

COPY_LIMIT = 1 << 20
"""Characters that are copied at most: terminals and clipboards take no more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a log found: its index, a new one if the log was rotated or cut, or why it could not be read."""

    index: LineIndex | None
    problem: str = ""


def look(
    source: LogSource, index: LineIndex | None, chosen: Filter | None, seconds: float, go_on: Callable[[], bool]
) -> Seen:
    """See what is new in a log, and for at most `seconds` go on finding its older lines, or those of a filter."""
    try:
        stream = open_stream(source.parts(), index.stream if index is not None else None)
        if index is None or not stream.continues(index.stream):
            # The tail is all that a first look is for: it is shown before anything else is read.
            index = LineIndex(stream)
            index.scan_back()
            return Seen(index)
        index.grow(stream)
        work = chosen.step if chosen is not None else index.scan_back
        until = time.monotonic() + seconds
        while go_on() and time.monotonic() < until and work():
            # A moment without the interpreter's lock, so that a key pressed now is answered now.
            time.sleep(0)
    except OSError as error:
        return Seen(index, error.strerror or str(error))
    return Seen(index)


def text_of(index: LineIndex, lines: Iterable[int], clean: Clean, glyphs: Glyphs) -> tuple[str, int]:
    """The text of some lines as they are shown, and how many of them fit in `COPY_LIMIT` characters."""
    taken: list[str] = []
    size = 0
    for line in lines:
        text = readable(index, line, clean, glyphs)
        size += len(text) + 1
        if taken and size > COPY_LIMIT:
            break
        taken.append(text)
    return "\n".join(taken), len(taken)
