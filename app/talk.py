"""A conversation through the gateway, as any client has it: OpenAI's protocol, streamed, with a key of our own.

It blocks: a screen asks in a thread, looks at the `Progress` as often as it likes, and stops it from outside.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.chat import Answer, ChatSettings, Message, request_body
from app.domain.failures import CATALOGUE, StokerError
from app.processes import holder
from app.reach import require_gateway, require_server, writing
from app.settings import Home

if TYPE_CHECKING:
    import httpx2

ASK = "ask"
"""Whose key the commands use."""

_CONNECT_S = 10.0
_READ_S = 660.0
"""Longer than the gateway's own limits: it says which one it was."""
_REFUSAL_LIMIT = 1 << 20
_KNOWN_WITHIN_S = 3.0
_TRY_EVERY_S = 0.1


class Progress:
    """An answer as far as it has come. `on_text` is given each piece of it, in the thread that asks.

    `stop` may be called from any thread: it closes the connection, wherever the exchange stands.
    """

    def __init__(self, on_text: Callable[[str], None] = lambda text: None) -> None:
        self.request_id = ""
        self.stopped = False
        self.pieces: list[str] = []
        self._on_text = on_text
        self._usage: dict[str, Any] = {}
        self._began = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None
        self._ended: float | None = None
        self._socket: socket.socket | None = None

    def answer(self) -> Answer:
        """What there is by now; complete once `Client.ask` has returned."""
        return Answer(
            text="".join(self.pieces),
            request_id=self.request_id,
            ttft_us=None if self._first is None else round((self._first - self._began) * 1_000_000),
            took_us=round((self._until() - self._began) * 1_000_000),
            tokens_in=_count(self._usage.get("prompt_tokens")),
            tokens_out=_count(self._usage.get("completion_tokens")),
        )

    def stop(self) -> None:
        """Break the exchange off; the gateway cancels it at the engine."""
        self.stopped = True
        self._ended = self._ended or time.monotonic()
        if self._socket is not None:
            # A thread that waits in `recv` is not woken by `close`.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def begin(self) -> None:
        """The request is being sent: from now on time counts."""
        self._began = time.monotonic()

    def take(self, chunk: dict[str, Any]) -> None:
        """One document of the stream."""
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        if text := _text_of(chunk):
            self._last = time.monotonic()
            self._first = self._first or self._last
            self.pieces.append(text)
            self._on_text(text)

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = self._ended or time.monotonic()

    def _until(self) -> float:
        """Now, or once it is over when the last text came."""
        if self._ended is None:
            return time.monotonic()
        return self._ended if self._last is None else self._last

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What the transport tells of itself (httpx's `trace` extension): the connection, once it is there."""
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")
            if self.stopped:
                self.stop()


class Client:
    """Asks through the gateway of one home, with a key that is kept in `keys/` under the name of `who` uses it."""

    def __init__(self, home: Home, who: str) -> None:
        self._home, self._who = home, who
        self._path = home.keys / f"{who}.key"
        self._renewing = threading.Lock()
        self._known_at = 0.0

    def ask(self, body: dict[str, Any], progress: Progress) -> Answer:
        """Send `body` and follow the answer in `progress`; what there was of it if that is stopped.

        Raises what the gateway refuses with, UPSTREAM_FAILED when it breaks off, SERVER_DOWN when it cannot be reached.
        """
        url, key, renewed = gateway_url(self._home), self.key(), False
        while not progress.stopped:
            try:
                return _exchange(url, key, body, progress)
            except StokerError as error:
                if not error.code.startswith("AUTH_"):
                    raise
                if error.code == "AUTH_INVALID_TOKEN" and time.monotonic() < self._known_at:
                    time.sleep(_TRY_EVERY_S)  # the gateway takes a moment to know a new one
                elif renewed:
                    raise
                else:
                    # Ours was revoked, or is of another home.
                    key, renewed = self.key(instead_of=key), True
        return progress.answer()

    def key(self, instead_of: str | None = None) -> str:
        """The key that is kept; made if there is none, or if it is the one that was refused."""
        with self._renewing:
            kept = _kept(self._path)
            if kept is not None and kept != instead_of:
                return kept
            made = self._make_key()
            self._known_at = time.monotonic() + _KNOWN_WITHIN_S
            return made

    def _make_key(self) -> str:
        from app.store.keys import create

        with writing(self._home) as session:
            text = create(session, f"stoker {self._who}", (), None).key.text
        partial = self._path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        partial.replace(self._path)
        return text


def ask(home: Home, model: str, conversation: Sequence[Message], on_text: Callable[[str], None]) -> Answer:
    """Send `conversation` to `model` and give each piece of the answer to `on_text` as it comes.

    Raises what `Client.ask` raises.
    """
    return Client(home, ASK).ask(request_body(model, conversation, ChatSettings()), Progress(on_text))


def ask_key(home: Home) -> str:
    """The key that `ask` uses, made on first use."""
    return Client(home, ASK).key()


def gateway_url(home: Home) -> str:
    """The gateway's base URL; it is started if it does not run. Raises SERVER_DOWN."""
    url = (holder(home.gateway_lock) or {}).get("url")
    if isinstance(url, str):
        return url
    require_server(home)
    return require_gateway(home)


def _exchange(url: str, key: str, body: dict[str, Any], progress: Progress) -> Answer:
    import httpx2

    progress.begin()
    try:
        with _answering(url, key, body, progress) as response:
            progress.request_id = response.headers.get("x-request-id", "")
            if response.status_code != 200:
                raise _refusal(response)
            for event in httpx2.EventSource(response):
                if event.data != "[DONE]" and not progress.stopped:
                    progress.take(_document(event.data))
    except StokerError:
        if not progress.stopped:
            raise
    finally:
        progress.end()
    return progress.answer()


@contextlib.contextmanager
def _answering(url: str, key: str, body: dict[str, Any], progress: Progress) -> Iterator["httpx2.Response"]:
    import httpx2

    headers = {"Authorization": f"Bearer {key}"}
    timeout = httpx2.Timeout(_CONNECT_S, read=_READ_S)
    try:
        with (
            httpx2.Client(trust_env=False, timeout=timeout) as client,
            client.stream(
                "POST",
                f"{url}/v1/chat/completions",
                json=body,
                headers=headers,
                extensions={"trace": progress.trace},
            ) as response,
        ):
            yield response
    except httpx2.ConnectError as error:
        raise StokerError("SERVER_DOWN", f"The gateway at {url} does not answer.", "Start it: `stoker up`.") from error
    except (httpx2.HTTPError, OSError) as error:
        raise StokerError("UPSTREAM_FAILED", f"The answer broke off: {str(error) or type(error).__name__}.") from error


def _refusal(response: "httpx2.Response") -> StokerError:
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > _REFUSAL_LIMIT:
            break
    try:
        return _error(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return StokerError("UPSTREAM_FAILED", f"The gateway answered {response.status_code}.")


def _document(data: str) -> dict[str, Any]:
    """One document of the stream. Raises what an `error` in it says."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StokerError("UPSTREAM_FAILED", "The answer holds something that is no JSON.") from error
    if not isinstance(document, dict):
        raise StokerError("UPSTREAM_FAILED", "The answer holds something that is no document.")
    if isinstance(document.get("error"), dict):
        raise _error(document["error"])
    return document


def _error(document: dict[str, Any]) -> StokerError:
    code = str(document.get("code"))
    if code not in CATALOGUE:
        return StokerError("UPSTREAM_FAILED", str(document.get("message") or "The gateway refused."))
    return StokerError(code, str(document.get("message") or ""), str(document.get("remedy") or ""))


def _text_of(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    delta = first.get("delta") if isinstance(first, dict) else None
    text = delta.get("content") if isinstance(delta, dict) else None
    return text if isinstance(text, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _kept(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None
