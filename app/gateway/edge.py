"""The edge as an ASGI application: every request goes through the same checks, in the order that is written here."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.domain.text import safe
from app.gateway import pages
from app.gateway.auth import authenticate
from app.gateway.body import parse_object, write_object
from app.gateway.call import check_context, read_call
from app.gateway.departure import ClientGone, Departure
from app.gateway.drainer import Outbox
from app.gateway.errors import EdgeError
from app.gateway.exchange import Exchange, Send
from app.gateway.fields import ALLOWED
from app.gateway.metrics import Metrics
from app.gateway.quota import Quota
from app.gateway.request import Request
from app.gateway.router import RETRY_AFTER_S, Router, route_to
from app.gateway.snapshot import Key, Snapshot
from app.gateway.spool import Spool
from app.settings import EdgeSettings

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

LINGER_S = 2.0
"""How long a client that is refused in the middle of its body is given to read why."""


class Edge:
    """The application. Used by the event loop only."""

    def __init__(self, settings: EdgeSettings, quota: Quota, spool: Spool, outbox: Outbox) -> None:
        self._quota = quota
        self._settings, self._spool, self._outbox = settings, spool, outbox
        self._snapshot: Snapshot | None = None
        self.router = Router(settings, outbox.drain)
        self.metrics = Metrics()

    def replace(self, snapshot: Snapshot) -> None:
        """Serve by `snapshot` from now on; requests under way finish by the one they began with."""
        self._snapshot = snapshot
        self.router.replace(snapshot)

    def note_refused(self, request: Request, error: EdgeError) -> None:
        """Keep a request that no engine saw."""
        request.status, request.code = error.status, error.code
        for reason in error.why:
            request.step("replica", reason)
        request.step("refused", error.message)
        self._outbox.refused.append(request.end_line())
        self.metrics.count(request)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        client = scope["client"]
        request = Request(scope["method"], scope["path"], scope["headers"], client[0] if client else "")
        try:
            if request.path in ALLOWED:
                await self._forward(request, scope["extensions"]["stoker.departure"]["departure"], receive, send)
            else:
                await self._serve_page(request, send)
        except EdgeError as error:
            if request.attempt_id is None:
                self.note_refused(request, error)
            await _refuse(error, request, receive, send)
        except ClientGone:
            if request.attempt_id is None:
                self._outbox.refused.append(request.end_line())
        except asyncio.CancelledError:
            if request.ttft_us is None:
                stopping = EdgeError("NO_CAPACITY", "The gateway is stopping.", retry_after=RETRY_AFTER_S)
                await _refuse(stopping, request, receive, send)
        except Exception:
            log.exception("%s failed in the gateway itself", request.id)
            own = EdgeError("UPSTREAM_FAILED", "The gateway itself failed.", "See `stoker logs @gateway`.", status=500)
            await _refuse(own, request, receive, send)

    async def _forward(self, request: Request, departure: Departure, receive: Receive, send: Send) -> None:
        """Key, model, size and context, plan, route, stream, usage: no engine is asked before the first four pass."""
        _check_method(request, "POST")
        snapshot = self._current()
        key = self._authenticate(request, snapshot)
        body = await _read_body(request, receive, self._settings.body_limit)
        call = read_call(request.path, parse_object(body, self._settings.nesting_limit))
        request.step("body", f"{len(body)} bytes")
        deployment, variant_id = pages.find_variant(snapshot, key, call.model)
        request.deployment_id, request.deployment_name = deployment.id, deployment.name
        request.stream = call.stream
        request.step("model", deployment.name if variant_id is None else safe(call.model, 100))
        context = snapshot.specs[variant_id or deployment.variant_id].context
        request.step("context", f"{check_context(call, context)} of {context} tokens, at least")
        if deployment.id in snapshot.unnamed:
            del call.fields["model"]
        else:
            call.fields["model"] = deployment.name
        exchange = Exchange(self.router, self._spool, self._settings, request, call)
        try:
            with self._quota.admit(key):
                route = route_to(deployment.id, variant_id)
                await departure.guard(exchange.run(route, write_object(call.fields), send))
        except EdgeError as error:
            request.status, request.code, request.trouble = error.status, error.code, error.message
            raise
        except ClientGone:
            raise
        except BaseException:
            request.status, request.code = 500, "UPSTREAM_FAILED"
            raise
        finally:
            exchange.close()
            if request.attempt_id is not None:
                self._finish(request)

    def _finish(self, request: Request) -> None:
        request.step("end", f"{request.status} {request.code or ''}".strip())
        self._spool.end(request.id, request.end_line())
        self.metrics.count(request)
        if request.status >= 500:
            log.warning("%s %s: %s (%s)", request.id, request.code, request.deployment_name, request.trouble)

    async def _serve_page(self, request: Request, send: Send) -> None:
        if request.path == "/healthz":
            body, kind = b'{"status":"ok"}', b"application/json"
        elif request.path == "/metrics":
            if not request.local:
                self._authenticate(request, self._current())
            body, kind = self.metrics.render(self.router.gauges()), b"text/plain; version=0.0.4"
        elif request.path == "/v1/models" or request.path.startswith("/v1/models/"):
            snapshot = self._current()
            key = self._authenticate(request, snapshot)
            body, kind = (
                pages.models(snapshot, key, self.router, request.path[len("/v1/models/") :]),
                b"application/json",
            )
        else:
            raise EdgeError("PATH_NOT_ALLOWED", f"The edge does not serve `{request.path}`.")
        _check_method(request, "GET", "HEAD")
        headers = [
            (b"content-type", kind),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request.request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _current(self) -> Snapshot:
        if self._snapshot is None:
            raise EdgeError(
                "NO_CAPACITY",
                "The gateway has not read the store yet.",
                detail={"retry_after_s": RETRY_AFTER_S, "replicas": []},
                retry_after=RETRY_AFTER_S,
            )
        return self._snapshot

    def _authenticate(self, request: Request, snapshot: Snapshot) -> Key:
        key = authenticate(snapshot, request.authorization)
        request.key_id = key.id
        request.step("key", key.id)
        self._outbox.key_uses[key.id] = request.started_at
        return key


def _check_method(request: Request, *allowed: str) -> None:
    if request.method not in allowed:
        raise EdgeError(
            "INVALID_REQUEST",
            f"`{request.path}` takes {' or '.join(allowed)}.",
            "Use that method.",
            status=405,
            allow=", ".join(allowed),
        )


async def _read_body(request: Request, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BODY_TOO_LARGE, from the declared length if there is one, and ClientGone."""
    if request.encoding not in (b"", b"identity"):
        raise EdgeError("INVALID_REQUEST", "A compressed body is not accepted.", param="Content-Encoding", close=True)
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit, request.content_length)
    body, more = b"", True
    parts, size = [], 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body, more = message["body"], message["more_body"]
        parts.append(body)
        size += len(body)
        if size > limit:
            raise _too_large(limit, size)
    return body if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int, size: int) -> EdgeError:
    message = f"The body has {size} bytes or more, the edge accepts {limit}."
    return EdgeError("BODY_TOO_LARGE", message, detail={"limit": limit, "size": size}, close=True)


async def _refuse(error: EdgeError, request: Request, receive: Receive, send: Send) -> None:
    body = error.body(request.request_id)
    headers = error.headers(request.request_id, len(body))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": error.close})
    if error.close:
        # Closed at once, a client that is still sending would lose the answer with the connection.
        await _linger(receive)
        await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    end = time.monotonic() + LINGER_S
    try:
        async with asyncio.timeout(LINGER_S):
            while time.monotonic() < end and (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
