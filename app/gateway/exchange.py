"""One request at its engine: a replica is chosen, the answer is passed on as it comes, and what it took is counted."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.gateway.call import Call
from app.gateway.errors import EdgeError, Header
from app.gateway.refusals import explain_refusal
from app.gateway.request import Request
from app.gateway.router import Replica, Router
from app.gateway.spool import Spool
from app.gateway.sse import EventTooLong, Tap
from app.gateway.upstream import Answer, Refused, TimedOut, UpstreamError
from app.gateway.usage import count_answer, count_stream
from app.settings import EdgeSettings

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ANSWER_LIMIT = 64 << 20
"""Bytes of an answer that is not streamed; a batch of a thousand embeddings takes some 20 MB."""
REFUSAL_LIMIT = 65_536
TRIES = 3
"""Replicas that are tried. One that broke off after it had the request counts for two: it may have been the request."""


class Exchange:
    """Everything between the route and the last byte. `run` may be cancelled at any point; `close` puts all right."""

    def __init__(self, router: Router, spool: Spool, settings: EdgeSettings, request: Request, call: Call) -> None:
        self._router, self._spool, self._settings = router, spool, settings
        self._request, self._call = request, call
        self._replica: Replica | None = None
        self._answer: Answer | None = None
        self._tap: Tap | None = None
        self._uncounted = False

    async def run(self, route: str, body: bytes, send: Send) -> None:
        """Have `body` answered by a replica of `route`, and pass the answer on.

        Raises EdgeError while nothing has been sent to the client; what goes wrong later is told in the stream.
        """
        answer = await self._open(route, body)
        if answer.status != 200:
            raise await self._refusal(answer)
        if answer.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            await self._stream(answer, send)
        else:
            await self._whole(answer, send)

    def close(self) -> None:
        """Let go of the engine; an answer that is not complete is cancelled there. An estimate stands for its count."""
        if self._answer is not None:
            self._answer.abort()
        if self._uncounted:
            self._estimate()
        if self._replica is not None:
            self._router.release(self._replica)

    async def _open(self, route: str, body: bytes) -> Answer:
        """The answer of the first replica that gives one, with status and headers."""
        self._replica = await self._router.acquire(route)
        tried: frozenset[str] = frozenset()
        left = TRIES
        while True:
            replica = self._replica
            problem = await self._try(route, replica, body)
            if isinstance(problem, Answer):
                return problem
            left -= 1 if isinstance(problem, Refused | EdgeError) else 2
            tried |= {replica.attempt_id}
            other = self._router.acquire_other(route, tried) if left > 0 else None
            if other is None or isinstance(problem, TimedOut):
                raise _explain(problem)
            self._router.release(replica)
            self._replica = other

    async def _try(self, route: str, replica: Replica, body: bytes) -> Answer | UpstreamError | EdgeError:
        request = self._request
        request.instance_id, request.attempt_id = replica.instance_id, replica.attempt_id
        others = self._router.passed_over(route, replica)
        chosen = f"{replica.name}: {replica.in_flight} of {replica.cap} in flight"
        request.step("route", f"{chosen}, the fewest; not {others}" if others else chosen)
        self._spool.start(request.id, request.start_line(self._call.estimate_input()))
        self._uncounted = True
        try:
            answer = await replica.upstream.post(request.path, body, request.id)
        except UpstreamError as error:
            self._uncounted = not isinstance(error, Refused)
            request.trouble = str(error)
            request.step("engine", request.trouble)
            if not isinstance(error, TimedOut):
                self._router.strike(replica)
            return error
        replica.strikes = 0
        self._answer = answer
        if answer.status != 503:
            return answer
        refusal = await self._refusal(answer)  # it is loading, or overloaded: another may not be
        request.step("engine", refusal.message)
        return refusal

    async def _refusal(self, answer: Answer) -> EdgeError:
        try:
            body = await self._read(answer, REFUSAL_LIMIT)
        except EdgeError:
            body = b""
        self._uncounted = False
        return explain_refusal(answer.status, body, answer.headers.get(b"retry-after", b""))

    async def _read(self, answer: Answer, limit: int) -> bytes:
        parts, size = [], 0
        try:
            while data := await answer.chunk():
                parts.append(data)
                size += len(data)
                if size > limit:
                    raise EdgeError("UPSTREAM_FAILED", f"The engine's answer is larger than {limit} bytes.")
        except UpstreamError as error:
            raise _explain(error) from None
        self._answer = None
        return b"".join(parts)

    async def _whole(self, answer: Answer, send: Send) -> None:
        request = self._request
        body = await self._read(answer, ANSWER_LIMIT)
        self._uncounted = False
        (request.tokens_in, request.tokens_out), request.estimated = count_answer(self._call, body)
        request.status = 200
        await send(_start(request, answer, [(b"content-length", str(len(body)).encode())]))
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, answer: Answer, send: Send) -> None:
        request = self._request
        tap = self._tap = Tap(hide=not self._call.wants_usage)
        started = False
        try:
            while data := await answer.chunk():
                answer.extend(self._settings.chunk_timeout)
                data = tap.feed(data)
                if not started:
                    started = True
                    request.ttft_us = request.elapsed_us()
                    request.step("first byte")
                    await send(_start(request, answer, _STREAM_HEADERS))
                if tap.done:
                    self._count_stream(tap)  # now: many clients leave at this point
                if data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except (UpstreamError, EventTooLong) as problem:
            error = _explain(problem)
            if not started:
                raise error from None
            if not tap.done:
                await self._break_off(error, send)
                return
        else:
            self._answer = None
            if not started:
                raise EdgeError("UPSTREAM_FAILED", "The engine ended the stream before it began.")
            self._count_stream(tap)
        # Not every engine says that it is through, and clients wait for it.
        rest = tap.rest() if tap.done or tap.failed else tap.rest() + b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": rest})

    def _count_stream(self, tap: Tap) -> None:
        request = self._request
        self._uncounted = False
        counts, request.estimated = count_stream(self._call, tap.reported, tap.events)
        request.tokens_in, request.tokens_out = counts
        request.status, request.code = (502, "UPSTREAM_FAILED") if tap.failed else (200, None)

    async def _break_off(self, error: EdgeError, send: Send) -> None:
        """Tell the client within the stream, since the status is long gone."""
        request = self._request
        request.status, request.code, request.trouble = error.status, error.code, error.message
        request.step("engine", error.message)
        event = b"data: " + error.body(request.request_id) + b"\n\n"
        await send({"type": "http.response.body", "body": event})

    def _estimate(self) -> None:
        request, tap = self._request, self._tap
        events, reported = (tap.events, tap.reported) if tap else (0, [])
        (request.tokens_in, request.tokens_out), _ = count_stream(self._call, reported, events)
        request.estimated = True


_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


def _start(request: Request, answer: Answer, more: list[Header]) -> dict[str, Any]:
    kind = answer.headers.get(b"content-type", b"application/json")
    if not kind.isascii() or not kind.decode("ascii").isprintable():
        kind = b"application/json"
    headers = [(b"content-type", kind), (b"x-request-id", request.request_id.encode()), *more]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _explain(problem: Exception) -> EdgeError:
    if isinstance(problem, EdgeError):
        return problem
    if isinstance(problem, TimedOut):
        return EdgeError("UPSTREAM_TIMEOUT", str(problem))
    if isinstance(problem, EventTooLong):
        return EdgeError("UPSTREAM_FAILED", "The engine sent an event that does not end.")
    return EdgeError("UPSTREAM_FAILED", str(problem), detail={"evidence": str(problem)})
