"""What a log pane reads: the output of an attempt with its times, or the log file of one of our own processes."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from app.domain.text import safe
from app.store.attempts import TimeIndex, segments
from widgets.logfile import Part
from widgets.logindex import LINE_LIMIT

TODAY_WIDTH, DAY_WIDTH = 8, 15
"""Columns of a time, for an attempt that began today and for an older one, whose days matter."""


class AttemptSource:
    """The segments of an attempt as one stream. `began` (UTC microseconds) decides whether times name their day."""

    def __init__(self, directory: Path, began: int) -> None:
        self._directory = directory
        self._times = TimeIndex(directory)
        day = datetime.fromtimestamp(began / 1_000_000).astimezone().date()
        today = day == datetime.now().astimezone().date()
        self.times_width = TODAY_WIDTH if today else DAY_WIDTH
        self._format = "%H:%M:%S" if today else "%b %d %H:%M:%S"

    def parts(self) -> Sequence[Part]:
        """The files there are now. Reads what is new of the times too."""
        self._times.refresh()
        return [Part(self._directory / each.name, each.start, each.inode) for each in segments(self._directory)]

    def time_at(self, offset: int) -> str:
        """When the line at `offset` came, to the second."""
        at = self._times.time_at(offset)
        return "" if at is None else datetime.fromtimestamp(at // 1_000_000).astimezone().strftime(self._format)


def clean(line: str) -> str:
    """A raw line fit to be shown: nothing in it can act, and a progress line is what it said last."""
    return safe(line.rstrip("\r").rpartition("\r")[2], LINE_LIMIT)
