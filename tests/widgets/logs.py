"""Logs for the tests of the log pane: files, a source of segments, what a caller does to a line."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.widgets.support import Stage, lines_of
from widgets.logfile import Part
from widgets.logpaint import Mark


def clean(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text.rstrip("\r").rpartition("\r")[2])


class Segments:
    """A source of files that change, with a time for every offset."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.now = list(parts)
        self.asked = 0

    def parts(self) -> Sequence[Part]:
        self.asked += 1
        return self.now

    def time_at(self, offset: int) -> str:
        return f"14:02:{offset % 60:02}.000"


def numbered(path: Path, count: int, first: int = 0) -> Path:
    path.write_text("".join(f"line {n}\n" for n in range(first, first + count)))
    return path


def top(app: Stage) -> str:
    return lines_of(app)[0].strip(" ▸┃")


def bottom(app: Stage) -> str:
    return lines_of(app)[-1].strip(" ▸┃")


LOG = (
    "INFO  Loading safetensors checkpoint shards:   3% 1/4\rINFO  Loading safetensors checkpoint shards:  75% 3/4\n"
    "INFO  \x1b[32mModel loading\x1b[0m took 15.27 GiB and 8.1 s\n"
    "WARN  Sequence group preempted, not enough KV cache\n"
    "INFO  Application startup complete.\n"
    "ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.10 GiB. GPU 0 has a total capacity of "
    "23.99 GiB of which 1.02 GiB is free. Process 4121 has 2.0 GiB in use. [bold]not markup[/bold]\n"
)
MARKS = (
    Mark(LOG.index("Sequence"), "yellow", "recovered"),
    Mark(LOG.index("startup"), "green", "milestone"),
    Mark(LOG.index("torch"), "red", "OOM_KILLED", "✖"),
)
