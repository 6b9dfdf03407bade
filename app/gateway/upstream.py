"""The HTTP client towards an engine: keep-alive connections, one answer at a time each, nothing that is not needed.

Written by hand because it decides what a request costs: a general client takes ten to thirty times the CPU.
"""

import asyncio
import time
from typing import cast
from urllib.parse import urlsplit

import httptools

from app.settings import EdgeSettings

IDLE_S = 4.0
"""Idle connections are not used after this: llama.cpp and uvicorn close theirs after 5 s."""
STALE_S = 1.0
"""A reused connection that breaks this soon was closed by the engine while it was idle; a later break is a failure."""
HIGH_WATER = 65_536
HEAD_LIMIT = 65_536


class UpstreamError(Exception):
    """The engine did not answer as it should. `answered` says whether any byte of an answer came before."""

    answered = False


class Refused(UpstreamError):
    """No connection could be made: the engine has seen nothing of the request."""


class Broken(UpstreamError):
    """The connection ended before the answer did, or what came is not HTTP."""


class TimedOut(UpstreamError):
    """The engine was silent for too long."""


class Upstream:
    """One engine, by its base URL. Raises ValueError for a URL that cannot be called."""

    def __init__(self, endpoint: str, secret: str | None, settings: EdgeSettings) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not an HTTP address: {endpoint}")
        self.endpoint = endpoint
        self._host, self._port = parts.hostname, parts.port or 80
        self._prefix = parts.path.rstrip("/")
        authorization = f"Authorization: Bearer {secret}\r\n" if secret else ""
        self._fixed = f"Host: {parts.netloc}\r\n{authorization}Content-Type: application/json\r\nAccept: */*\r\n"
        self._settings = settings
        self._idle: list[Answer] = []
        self._busy: set[Answer] = set()
        self._closed = False

    async def post(self, path: str, body: bytes, request_id: str) -> "Answer":
        """Send `body` to `path`; the answer, once its status and headers are there.

        Raises Refused, Broken or TimedOut. A connection that the engine had closed meanwhile is replaced by a new one
        without a word.
        """
        head = f"POST {self._prefix}{path} HTTP/1.1\r\n{self._fixed}X-Request-Id: {request_id}\r\n"
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        answer = self._take()
        if answer is not None:
            sent = time.monotonic()
            try:
                await answer.begin(data, self._settings.answer_timeout)
                return answer
            except Broken as error:
                if error.answered or time.monotonic() - sent > STALE_S:
                    raise
        answer = await self._connect()
        await answer.begin(data, self._settings.answer_timeout)
        return answer

    def check_times(self, now: float) -> None:
        """Close what has been idle for too long, and end the answers that are late. Called about every second."""
        while self._idle and self._idle[0].idle_since < now - IDLE_S:
            self._idle.pop(0).abort()
        for answer in self._busy:
            answer.check_time(now)

    def close(self) -> None:
        """Close idle connections now, and those in use when their answer is complete."""
        self._closed = True
        for answer in self._idle:
            answer.abort()
        self._idle.clear()

    def _take(self) -> "Answer | None":
        # The one used last is the one least likely to have been closed by the engine.
        while self._idle:
            answer = self._idle.pop()
            if answer.usable and answer.idle_since >= time.monotonic() - IDLE_S:
                return answer
            answer.abort()
        return None

    def begin(self, answer: "Answer") -> None:
        """Note that an answer is awaited."""
        self._busy.add(answer)

    def end(self, answer: "Answer") -> None:
        """Note that an answer is over; its connection is kept if it can be used again."""
        self._busy.discard(answer)
        if answer.usable and not self._closed:
            self._idle.append(answer)
        else:
            answer.abort()

    async def _connect(self) -> "Answer":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, answer = await loop.create_connection(lambda: Answer(self), self._host, self._port)
        except (OSError, TimeoutError) as error:
            reason = "no connection in time" if isinstance(error, TimeoutError) else str(error)
            raise Refused(f"The engine at {self.endpoint} cannot be reached: {reason}.") from None
        return answer


class Answer(asyncio.Protocol):
    """A connection to an engine, and the answer that is on it.

    `begin` sends a request; `chunk` gives the body piece by piece, and `b""` when it is complete, with which the
    connection goes back to its pool. Whoever stops before that calls `abort`, and the engine sees its client leave.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._limit = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self.usable = False
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._size = self._head_size = 0
        self._headed = self._complete = self._paused = self._busy = False
        self._error: UpstreamError | None = None

    async def begin(self, data: bytes, patience: float) -> None:
        """Send a request and wait for status and headers, at most `patience` seconds."""
        self._reset()
        self._busy = True
        self._limit = time.monotonic() + patience
        self._upstream.begin(self)
        if self._transport is not None and self.usable:
            self._transport.write(data)
        else:
            self._fail(Broken("The engine closed the connection."))
        try:
            while not self._headed:
                await self._wait()
        except BaseException:
            self.abort()
            raise

    def extend(self, patience: float) -> None:
        """From now on the next piece may take `patience` seconds."""
        self._limit = time.monotonic() + patience

    def check_time(self, now: float) -> None:
        """Fail if the engine is late. Not while it is the client who is awaited: the protocol looks after that."""
        if now > self._limit and self._waiter is not None:
            self._fail(TimedOut("The engine said nothing for too long."))

    async def chunk(self) -> bytes:
        """What has come of the body, at least a byte; `b""` when it is complete. Raises Broken and TimedOut."""
        while not self._chunks:
            if self._complete:
                self._finish()
                return b""
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Drop the connection at once."""
        was_busy, self._busy = self._busy, False
        self.usable = False
        if self._transport is not None:
            self._transport.abort()
        if was_busy:
            self._upstream.end(self)

    def _finish(self) -> None:
        self._busy = False
        self.idle_since = time.monotonic()
        self._upstream.end(self)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None and not self._complete:
            error.answered = self._headed or self._head_size > 0
            self._error = error
        self.usable = False
        if self._waiter is not None and not self._waiter.done() and self._error is not None:
            self._waiter.set_exception(self._error)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        # An answer without a length and not chunked ends where the connection does.
        unframed = not (b"content-length" in self.headers or b"transfer-encoding" in self.headers)
        if self._headed and unframed and exc is None and self._error is None:
            self._complete = True
            self.usable = False
            self._wake()
        elif self._busy:
            self._fail(Broken(f"The engine broke off the connection{f': {exc}' if exc else ''}."))
        self.usable = False

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self.abort()  # an engine that speaks unasked is not in step with us
            return
        if not self._headed:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Broken(f"The engine's answer is not HTTP: {error}."))
            return
        if not self._headed and self._head_size > HEAD_LIMIT:
            self._fail(Broken("The engine's answer has too large a head."))
            return
        if self._size > HIGH_WATER and not self._paused and not self._complete and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headed:  # a trailer says nothing that we need
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._headed = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._headed:
            self._complete = True
            self.usable = self.usable and self._parser.should_keep_alive()
