"""A container's output, followed into the directory of its attempt for as long as it runs, and after a break from where
it stopped.

The daemon keeps the output too, with the time of each piece. What was written here last is recorded with the time of
the piece that it ended with, and cut back to there when somebody goes on, so nothing comes twice and nothing is left
out.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from docker import APIClient
from docker.errors import DockerException, NotFound

from backends.base import CouldNotLook
from backends.masking import Masker
from backends.output import HEAD_BYTES, TAIL_BYTES, Directory, Output

RECORD = "record.json"
"""What readers of a log look at for its segments; beside those, where a follower goes on."""
_SAVE_EVERY_S = 0.5
_AGAIN_AFTER_S = 0.5
_UNREADABLE_AFTER = 5

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cursor:
    """The time of the last piece that was written, as the daemon spells it, and how many pieces bore it."""

    at: str = ""
    count: int = 0

    def admits(self, at: str, met: int) -> bool:
        """Whether the piece of time `at`, the `met`-th of that time, comes after what was written."""
        return at > self.at or (at == self.at and met > self.count)


class Follower:
    """Follows one container in a thread. `done` once it has ended and all its output is here, or never will be."""

    def __init__(self, connect: Callable[[], APIClient], container: str, path: Path, secrets: list[str]) -> None:
        self._connect = connect
        self._container = container
        self._path = path
        self._masker = Masker([secret.encode() for secret in secrets])
        self._closed = threading.Event()
        self._stream: Any = None
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log-{path.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still does anything."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Give up following."""
        self._closed.set()
        if (stream := self._stream) is not None:
            stream.close()

    def _run(self) -> None:
        directory = Directory(str(self._path))
        output = Output(directory, HEAD_BYTES, TAIL_BYTES)
        cursor = self._resume(output)
        unreadable = 0
        try:
            while not self._closed.is_set() and unreadable < _UNREADABLE_AFTER:
                try:
                    with_end = self._follow(output, directory, cursor)
                except NotFound:
                    break
                except DockerException as error:
                    unreadable += 1
                    log.warning("the log of %s cannot be read: %s", self._path.name, error)
                    self._closed.wait(_AGAIN_AFTER_S)
                except (requests.RequestException, OSError, CouldNotLook):
                    self._closed.wait(_AGAIN_AFTER_S)
                else:
                    if with_end:
                        break
                    self._closed.wait(_AGAIN_AFTER_S)
            output.write(self._masker.flush())
            self._save(output, directory, cursor)
        finally:
            output.close()
            directory.close()
            if not self._closed.is_set():
                self.done.set()

    def _resume(self, output: Output) -> Cursor:
        try:
            record = json.loads((self._path / RECORD).read_bytes())
            output.resume(record["segments"], record["follower"]["offset"])
            return Cursor(record["follower"]["at"], record["follower"]["count"])
        except (OSError, ValueError, TypeError, KeyError, IndexError):
            return Cursor()

    def _follow(self, output: Output, directory: Directory, cursor: Cursor) -> bool:
        """Write what there is and comes until the stream ends; whether the container has ended too."""
        api = self._connect()
        try:
            since = {"since": _seconds(cursor.at)} if cursor.at else {}
            self._stream = api.logs(self._container, stream=True, follow=True, timestamps=True, **since)
            saved, segment = time.monotonic(), output.segments[-1:]
            at, met = "", 0
            for stamp, data in self._pieces():
                met = met + 1 if stamp == at else 1
                at = stamp
                if not cursor.admits(at, met):
                    continue
                output.write(self._masker.feed(data))
                cursor.at, cursor.count = at, met
                due = time.monotonic() - saved >= _SAVE_EVERY_S or output.segments[-1:] != segment
                if due and not self._masker.holds:
                    self._save(output, directory, cursor)
                    saved, segment = time.monotonic(), output.segments[-1:]
            if not self._masker.holds:
                self._save(output, directory, cursor)
            # A lost connection ends the stream just as the container's end does.
            return not api.inspect_container(self._container)["State"]["Running"]
        finally:
            if self._stream is not None:
                # A stream that is broken off has its connection in no pool, and its own close leaves the socket open.
                self._stream._response.close()
            self._stream = None
            api.close()

    def _pieces(self) -> Iterator[tuple[str, bytes]]:
        for frame in self._stream:
            stamp, _, data = frame.partition(b" ")
            yield stamp.decode("ascii", "replace"), data

    def _save(self, output: Output, directory: Directory, cursor: Cursor) -> None:
        follower = {"at": cursor.at, "count": cursor.count, "offset": output.offset}
        directory.write_json(RECORD, {"segments": output.segments, "dropped": output.dropped, "follower": follower})


def _seconds(stamp: str) -> float:
    """A time as the daemon spells it, in Unix seconds, a little early: what is met again is left out by its stamp."""
    moment = datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    fraction = stamp[19:].rstrip("Z").lstrip(".") or "0"
    return moment.timestamp() + max(0.0, float(f"0.{fraction}") - 1e-5)
