"""The HTTP connection of a client: uvicorn's, with the limits on size and time that uvicorn does not have.

Traps it closes are measured in DESIGN's reference (F9, F10): headers sent after the body as trailers, heads without
end, clients that send or read a byte a minute, and refusals that bypass the application.
"""

import re
from asyncio import BaseTransport, Transport
from collections.abc import Callable
from enum import Enum
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.gateway.departure import Departure
from app.gateway.errors import EdgeError
from app.gateway.request import Request
from app.settings import EdgeSettings

LINGER_S = 2.0
"""How long a closing connection is kept for its client to read what was said."""
CLOSING_S = 10.0
"""How long the last bytes of a closing connection may take."""

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class Stage(Enum):
    """Where a connection is in receiving a request."""

    IDLE = "between requests"
    HEAD = "receiving a head"
    BODY = "receiving a body"


class _HeadTooLarge(Exception):
    """Ends the parsing of a head from within the parser's callback."""


class HeadHolder(Transport):
    """The transport as the response of one request sees it: its head waits for the first piece of the body, so that
    both leave in one system call and one packet."""

    def __init__(self, cycle: RequestResponseCycle, transport: Transport) -> None:
        self._cycle = cycle
        self._transport = transport
        self._held: bytes | None = None

    def write(self, data: Any) -> None:
        if self._held is not None:
            self._cycle.transport = self._transport
            self._transport.write(self._held + data)
        elif data.startswith(b"HTTP/1.1 100 "):
            self._transport.write(data)
        else:
            self._held = data

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class EdgeProtocol(HttpToolsProtocol):
    """A client connection. `limits` and `note_refused` are set by `bind`."""

    limits: EdgeSettings
    note_refused: Callable[[Request, EdgeError], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = Stage.HEAD
        self._since = self._heard = self.loop.time()
        self._unparsed = self._discarded = 0
        self._beyond = False
        self._open: list[tuple[RequestResponseCycle, Departure]] = []
        self._refused_at: float | None = None
        self._blocked_at: float | None = None
        self._idle_since: float | None = None
        self._closing_at: float | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn's own
        if len(self.connections) > self.limits.connections:
            message = f"The edge has {self.limits.connections} connections open, its limit."
            self._refuse(EdgeError("NO_CAPACITY", message, retry_after=2, close=True))

    def connection_lost(self, exc: Exception | None) -> None:
        self._abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        self._heard = self.loop.time()
        self._idle_since = None
        if self._stage is Stage.IDLE:
            self._enter_head()
        if self._stage is Stage.HEAD and b"pgrade:" in data:
            data = _ignore_upgrade(data)
        self._unparsed += len(data)
        super().data_received(data)
        # A chunk extension, a trailer or a header that does not end grows without any callback of the parser.
        if self._unparsed > self.limits.header_limit:
            self._refuse_endless()

    def check_times(self, now: float) -> None:
        """End the connection if it is beyond one of its limits. Called about every second."""
        if self.transport.is_closing() or self._refused_at is not None:
            self._end_closing(now)
        elif self._blocked_at is not None and now - self._blocked_at > self.limits.chunk_timeout:
            self.transport.abort()
        elif self._stage is Stage.HEAD and now - self._since > self.limits.header_timeout:
            if self._unparsed:
                self._refuse(_too_slow("head", self.limits.header_timeout))
            else:
                self.transport.close()
        elif self._idle_since is not None and now - self._idle_since > self.limits.keep_alive:
            self.transport.close()
        elif self._stage is Stage.BODY and now - self._heard > self.limits.body_idle and not self.flow.read_paused:
            self._refuse(_too_slow("body", self.limits.body_idle))

    def shutdown(self) -> None:
        if self._refused_at is not None:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        self._blocked_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_at = None
        super().resume_writing()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._stage is Stage.IDLE:
            self._enter_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not Stage.HEAD:
            return  # a trailer: it must never become a header, least of all `Authorization`
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > self.limits.header_limit or len(self.headers) > self.limits.header_count:
            self._beyond = True
            raise _HeadTooLarge
        self._stage = Stage.BODY
        self._unparsed = 0
        departure = Departure(self.loop)
        self.scope["extensions"] = {"stoker.departure": {"departure": departure}}
        super().on_headers_complete()
        self._open = [(cycle, other) for cycle, other in self._open if not cycle.response_complete]
        self._open.append((self.cycle, departure))
        if self.scope["method"] != "HEAD":
            self.cycle.transport = HeadHolder(self.cycle, self.transport)
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser will take no more

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self.limits.body_limit:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage = Stage.IDLE
        if not self.pipeline:
            self.flow.resume_reading()  # uvicorn stops at 64 KB of a body, but the client's leaving must be heard
        self._unparsed = self._discarded = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.pipeline:
            super().on_response_complete()
        elif not self.transport.is_closing():
            # `check_times` ends idle connections, which costs less than a timer for every response.
            self.flow.resume_reading()
            self._idle_since = self.loop.time()

    # What uvicorn says by itself.

    def send_400_response(self, msg: str) -> None:
        """The answer to what the parser refused."""
        self._refuse(self._too_large() if self._beyond else _malformed())

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing that an operator could do anything about."""

    def _enter_head(self) -> None:
        self._stage = Stage.HEAD
        self._since = self.loop.time()

    def _too_large(self) -> EdgeError:
        limit, count = self.limits.header_limit, self.limits.header_count
        message = f"The headers are larger than {limit} bytes, or more than {count}."
        return EdgeError("INVALID_REQUEST", message, "Send fewer.", status=431, close=True)

    def _refuse_endless(self) -> None:
        if self._refused_at is None and self._stage is not Stage.IDLE:
            self._refuse(self._too_large() if self._stage is Stage.HEAD else _malformed())

    def _refuse(self, error: EdgeError) -> None:
        """Answer in the application's place, and close. A response that is already on its way is cut off instead."""
        self._refused_at = self.loop.time()
        abandoned = self._abandon()
        if self._stage is Stage.BODY and not abandoned:
            self.transport.close()  # it was answered before its body was complete
            return
        if any(cycle.response_started for cycle in abandoned):
            self.transport.abort()
            return
        request = Request("-", "", (), self.client[0] if self.client else "")
        self.note_refused(request, error)
        body = error.body(request.request_id)
        lines = [b"%s: %s\r\n" % header for header in error.headers(request.request_id, len(body))]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
        # Only this direction is closed yet: a client that is still sending could not read the answer otherwise.
        self.transport.write_eof()

    def _abandon(self) -> list[RequestResponseCycle]:
        """Tell the application that the client is gone, for every request that is not answered yet; those requests.

        uvicorn tells only the last of several pipelined ones.
        """
        abandoned = [(cycle, departure) for cycle, departure in self._open if not cycle.response_complete]
        for cycle, departure in abandoned:
            cycle.disconnected = True
            cycle.message_event.set()
            departure.happen()
        return [cycle for cycle, _ in abandoned]

    def _end_closing(self, now: float) -> None:
        if self._refused_at is not None and now - self._refused_at > LINGER_S:
            self.transport.abort()
        elif self._closing_at is None:
            self._closing_at = now
        elif now - self._closing_at > CLOSING_S:
            self.transport.abort()


def bind(limits: EdgeSettings, note_refused: Callable[[Request, EdgeError], None]) -> type[EdgeProtocol]:
    """The protocol class for uvicorn, with its settings."""
    return type("BoundProtocol", (EdgeProtocol,), {"limits": limits, "note_refused": staticmethod(note_refused)})


def _ignore_upgrade(data: bytes) -> bytes:
    """`data` with the name of an `Upgrade` header made meaningless.

    Java's client asks for HTTP/2 on its first request, and the parser would give up the body of that request for it.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nignored:", head) + end + body


def _malformed() -> EdgeError:
    return EdgeError("INVALID_REQUEST", "This is not a valid HTTP request.", "Check the client.", close=True)


def _too_slow(what: str, limit: float) -> EdgeError:
    return EdgeError("INVALID_REQUEST", f"The {what} did not arrive within {limit:g} s.", status=408, close=True)
