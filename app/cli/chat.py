"""A conversation through the gateway, as any client has it: OpenAI's protocol, streamed, with a key of our own."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from app.cli.server import require_server, writing
from app.domain.failures import CATALOGUE, StokerError
from app.processes import holder
from app.reach import require_gateway
from app.render.answers import Answer
from app.settings import Home

Message = dict[str, str]

_TIMEOUT = httpx2.Timeout(10.0, read=660.0)  # longer than the gateway's own limits: it says which one it was
_KEY_FILE = "ask.key"
_KNOWN_WITHIN_S = 3.0


def ask(home: Home, model: str, messages: Sequence[Message], on_text: Callable[[str], None]) -> Answer:
    """Send `messages` to `model` and give each piece of the answer to `on_text` as it comes.

    Raises what the gateway refuses with, UPSTREAM_FAILED when it breaks off, SERVER_DOWN when it cannot be reached.
    """
    url = (holder(home.gateway_lock) or {}).get("url")
    if not url:
        require_server(home)
        url = require_gateway(home)
    path = home.keys / _KEY_FILE
    if (key := _kept(path)) is not None:
        try:
            return _exchange(url, key, model, messages, on_text)
        except StokerError as error:
            if not error.code.startswith("AUTH_"):
                raise
    return _with_new_key(home, lambda made: _exchange(url, made, model, messages, on_text))


def ask_key(home: Home) -> str:
    """The key that `ask` uses, made on first use."""
    return _kept(home.keys / _KEY_FILE) or _make_key(home)


def _with_new_key(home: Home, exchange: Callable[[str], Answer]) -> Answer:
    """Exchange with a key made now: there was none, or it was revoked. The gateway takes a moment to know it."""
    key, deadline = _make_key(home), time.monotonic() + _KNOWN_WITHIN_S
    while True:
        try:
            return exchange(key)
        except StokerError as error:
            if error.code != "AUTH_INVALID_TOKEN" or time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def _kept(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _make_key(home: Home) -> str:
    from app.store.keys import create

    with writing(home) as session:
        text = create(session, "stoker ask", (), None).key.text
    path = home.keys / _KEY_FILE
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
    return text


def _exchange(url: str, key: str, model: str, messages: Sequence[Message], on_text: Callable[[str], None]) -> Answer:
    body = {"model": model, "messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
    began = time.monotonic()
    parts: list[str] = []
    first: float | None = None
    usage: dict[str, Any] = {}
    with _answering(url, key, body) as response:
        for chunk in _chunks(response):
            usage = chunk.get("usage") or usage
            text = "".join(str(choice.get("delta", {}).get("content") or "") for choice in chunk.get("choices", ()))
            if text:
                first = first or time.monotonic()
                parts.append(text)
                on_text(text)
    return Answer(
        text="".join(parts),
        request_id=response.headers.get("x-request-id", ""),
        ttft_ms=None if first is None else round((first - began) * 1000),
        tokens_in=usage.get("prompt_tokens"),
        tokens_out=usage.get("completion_tokens"),
        took_s=time.monotonic() - began,
    )


@contextmanager
def _answering(url: str, key: str, body: dict[str, Any]) -> Iterator[httpx2.Response]:
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with (
            httpx2.Client(trust_env=False, timeout=_TIMEOUT) as client,
            client.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise _refusal(response)
            yield response
    except httpx2.ConnectError as error:
        raise StokerError("SERVER_DOWN", f"The gateway at {url} does not answer.", "Start it: `stoker up`.") from error
    except httpx2.HTTPError as error:
        raise StokerError("UPSTREAM_FAILED", f"The answer broke off: {str(error) or type(error).__name__}.") from error


def _chunks(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """The documents of the event stream. Raises what an `error` among them says."""
    for text in response.iter_lines():
        if not text.startswith("data:") or text[5:].strip() == "[DONE]":
            continue
        try:
            chunk = json.loads(text[5:])
        except ValueError as error:
            raise StokerError("UPSTREAM_FAILED", "The answer holds something that is no JSON.") from error
        if isinstance(chunk, dict):
            if isinstance(chunk.get("error"), dict):
                raise _error(chunk["error"])
            yield chunk


def _refusal(response: httpx2.Response) -> StokerError:
    try:
        return _error(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return StokerError("UPSTREAM_FAILED", f"The gateway answered {response.status_code}.")


def _error(document: dict[str, Any]) -> StokerError:
    code = str(document.get("code"))
    if code not in CATALOGUE:
        return StokerError("UPSTREAM_FAILED", str(document.get("message") or "The gateway refused."))
    return StokerError(code, str(document.get("message") or ""), str(document.get("remedy") or ""))
