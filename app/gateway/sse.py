"""A stream of server-sent events on its way through: passed on as it is, but for the usage that nobody asked for."""

import json
import re

from app.gateway.usage import Counts, read_counts

EVENT_LIMIT = 4 << 20
"""Bytes of one event; logprobs of many alternatives are some kilobytes."""

_DONE = b"data: [DONE]\n\n"
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class EventTooLong(Exception):
    """The engine began an event and did not end it."""


class Tap:
    """Reads along with one stream. `reported` are the counts the engine gave, `events` how many pieces there were,
    `failed` whether the engine itself reported an error in the stream, `done` whether it said that it is through.

    `hide` takes usage out, which the edge asks for but this client did not.
    """

    def __init__(self, hide: bool) -> None:
        self._hide = hide
        self._rest = b""
        self.reported: list[Counts] = []
        self.events = 0
        self.failed = False
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """What to pass on of `data`: whole events only. Raises EventTooLong."""
        if self._rest:
            data = self._rest + data
        # Inside a JSON string the quotes would be escaped, so text that an engine generates is never mistaken for it.
        if data.endswith(b"\n\n") and b'"usage"' not in data and b'"error"' not in data:
            self._rest = b""
            self.events += data.startswith(b"data: {") + data.count(b"\ndata: {")
            self.done = data.endswith(_DONE)
            return data
        return b"".join(self._split(data))

    def rest(self) -> bytes:
        """What was held back as the beginning of an event that never ended."""
        return self._rest

    def _split(self, data: bytes) -> list[bytes]:
        passed, start = [], 0
        for end in _END.finditer(data):
            passed.append(self._pass(data[start : end.end()]))
            start = end.end()
        self._rest = data[start:]
        if len(self._rest) > EVENT_LIMIT:
            raise EventTooLong
        return passed

    def _pass(self, event: bytes) -> bytes:
        if not event.startswith(b"data:"):
            return event
        self.events += event.startswith((b"data: {", b"data:{"))
        self.done = event.startswith((b"data: [DONE]", b"data:[DONE]"))
        if b'"usage"' not in event and b'"error"' not in event:
            return event
        try:
            document = json.loads(event[5:])
        except (ValueError, RecursionError):
            return event
        if not isinstance(document, dict):
            return event
        self.failed = self.failed or bool(document.get("error"))
        counts = read_counts(document.get("usage"))
        if counts is not None:
            self.reported.append(counts)
        if not self._hide or "usage" not in document:
            return event
        if not document.get("choices"):
            self.events -= 1
            return b""
        del document["usage"]
        return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
