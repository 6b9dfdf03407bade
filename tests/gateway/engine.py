"""An engine that behaves as badly as it is told to, request by request: it stands for what real ones do on bad days.

The `user` field of a request names the behaviour; without one the answer is as it should be, one token a word.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[["Engine", "Call"], Awaitable[None]]

WORDS = ("Riga", "Tallinn", "Gdansk")
PROMPT_TOKENS = 7


@dataclass
class Call:
    """One request as the engine received it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def head(self, status: int = 200, kind: str = "application/json", *more: str) -> None:
        """The head of an answer in chunks."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", "Transfer-Encoding: chunked", *more, "", ""]
        self.write("\r\n".join(lines).encode())

    def chunk(self, data: bytes) -> None:
        """A piece of such an answer; an empty one ends it."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, document: object) -> None:
        """A server-sent event."""
        self.chunk(b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n")

    def answer(self, document: object, status: int = 200) -> None:
        """A whole answer."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.write(head.encode() + body)

    def delta(self, text: str, index: int = 0) -> None:
        """One token of a chat stream."""
        self.event({"object": "chat.completion.chunk", "choices": [{"index": index, "delta": {"content": text}}]})

    def usage(self, completion: object = len(WORDS), **more: object) -> None:
        """The closing usage of a stream."""
        self.event({"choices": [], "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": completion, **more}})


@dataclass
class Engine:
    """A server on loopback, in a thread of its own. `gate` holds back the requests of behaviour `wait`.

    Without a `user`, `behaviours` says by model how it behaves, else `behaviour`; `words` are what it answers.
    """

    calls: list[Call] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def __post_init__(self) -> None:
        self.gate = threading.Event()
        self.behaviour = ""
        self.behaviours: dict[str, str] = {}
        self.words: Sequence[str] = WORDS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self.port), self._loop
        ).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop, whatever is still in flight."""

        async def end() -> None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.seen["connections"] += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        if "content-length" not in headers:
            Call(head[0].split()[1], headers, {}, writer).answer({}, 404)  # nothing that an engine is asked
            return True
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        call = Call(head[0].split()[1], headers, body, writer)
        self.calls.append(call)
        self.seen["requests"] += 1
        self.seen["active"] += 1
        self.seen["peak"] = max(self.seen["peak"], self.seen["active"])
        behaviour = body.get("user") or self.behaviours.get(body.get("model"), self.behaviour)
        work = asyncio.ensure_future(BEHAVIOURS[behaviour](self, call))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            done, _ = await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work not in done or isinstance(work.exception(), ConnectionError):
                self.seen["abandoned"] += 1
                return False
            await work
            await writer.drain()
            return not writer.transport.is_closing()
        finally:
            self.seen["active"] -= 1
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)


async def well(engine: Engine, call: Call) -> None:
    """As an engine should: usage at the end when asked for."""
    if call.path == "/v1/embeddings":
        call.answer({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": 7}})
    elif call.body.get("stream"):
        call.head(200, "text/event-stream")
        for word in engine.words:
            call.delta(word)
        if call.body.get("stream_options", {}).get("include_usage"):
            call.usage(len(engine.words))
        call.event(b"[DONE]")
        call.chunk(b"")
    else:
        message = {"role": "assistant", "content": " ".join(engine.words)}
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": len(engine.words)}
        call.answer({"object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": usage})


async def unending(engine: Engine, call: Call) -> None:
    """As Transformers: end a stream in good order, without saying so."""
    if not call.body.get("stream"):
        await well(engine, call)
        return
    call.head(200, "text/event-stream")
    for word in engine.words:
        call.delta(word)
    call.usage(len(engine.words))
    call.chunk(b"")


async def wait(engine: Engine, call: Call) -> None:
    """Answer when the test says so."""
    while not engine.gate.is_set():  # noqa: ASYNC110 # it is opened by another thread
        await asyncio.sleep(0.005)
    await well(engine, call)


async def drip(engine: Engine, call: Call) -> None:
    """Stream for ever."""
    call.head(200, "text/event-stream")
    while True:
        call.delta("drop")
        await call.writer.drain()
        await asyncio.sleep(0.005)


async def flood(engine: Engine, call: Call) -> None:
    """Stream for ever, as fast as it is taken."""
    call.head(200, "text/event-stream")
    while True:
        call.delta("x" * 1000)
        engine.seen["flooded"] += 1
        await call.writer.drain()


async def silence(engine: Engine, call: Call) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def stall(engine: Engine, call: Call) -> None:
    """Begin a stream, and say nothing more."""
    call.head(200, "text/event-stream")
    call.delta("Riga")
    await asyncio.Event().wait()


async def reset(engine: Engine, call: Call) -> None:
    """Close without a word."""
    call.writer.transport.abort()


async def cut(engine: Engine, call: Call) -> None:
    """Die in the middle of the answer."""
    if call.body.get("stream"):
        call.head(200, "text/event-stream")
        call.delta("Riga")
        call.delta("Tallinn")
    else:
        call.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choices"')
    await call.writer.drain()
    call.writer.close()


async def nonsense(engine: Engine, call: Call) -> None:
    """Not speak HTTP."""
    call.write(b"\x00\x01 what?\r\n\r\n")


async def endless_event(engine: Engine, call: Call) -> None:
    """Begin an event and never end it."""
    call.head(200, "text/event-stream")
    call.delta("Riga")
    while True:
        call.chunk(b"data: " + b"x" * 65_536)
        await call.writer.drain()


async def two_choices(engine: Engine, call: Call) -> None:
    """As llama.cpp with `n` 2: a usage for each choice when it streams, for the first alone when it does not."""
    if call.body.get("stream"):
        call.head(200, "text/event-stream")
        call.delta("Riga", 0)
        call.delta("Gdansk", 1)
        call.usage(3)
        call.usage(5)
        call.event(b"[DONE]")
        call.chunk(b"")
        return
    choices = [{"index": i, "message": {"content": text}} for i, text in enumerate(("ab", "abcd"))]
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": 2}
    call.answer({"choices": choices, "usage": usage, "timings": {"predicted_n": 2}})


async def total_of_choices(engine: Engine, call: Call) -> None:
    """As vLLM with `n` 2: one total."""
    choices = [{"index": i, "message": {"content": text}} for i, text in enumerate(("ab", "abcd"))]
    call.answer({"choices": choices, "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": 6}})


async def no_usage(engine: Engine, call: Call) -> None:
    """Count nothing."""
    if call.body.get("stream"):
        call.head(200, "text/event-stream")
        for word in WORDS:
            call.delta(word)
        call.chunk(b"")
    else:
        call.answer({"choices": [{"message": {"content": "Riga"}}]})


async def mad_usage(engine: Engine, call: Call) -> None:
    """Count what cannot be."""
    call.answer(b'{"choices":[],"usage":{"prompt_tokens":-4,"completion_tokens":1e18}}')


async def crlf(engine: Engine, call: Call) -> None:
    """End lines as Windows does, and cut events where nobody would."""
    call.head(200, "text/event-stream")
    events = b"".join(b'data: {"choices":[{"delta":{"content":"%s"}}]}\r\n\r\n' % w.encode() for w in WORDS)
    events += b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\r\n\r\ndata: [DONE]\r\n\r\n'
    for start in range(0, len(events), 11):
        call.chunk(events[start : start + 11])
        await call.writer.drain()
    call.chunk(b"")


async def unframed(engine: Engine, call: Call) -> None:
    """End the answer by closing the connection, as HTTP/1.0 servers do."""
    call.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
    call.write(b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}')
    await call.writer.drain()
    call.writer.close()


def saying(status: int, error: dict[str, object]) -> Handler:
    """Refuse with an error object."""

    async def refuse(engine: Engine, call: Call) -> None:
        call.answer({"error": error}, status)

    return refuse


_VLLM = (
    "This model's maximum context length is 1024 tokens. However, your prompt contains at least 1025 input tokens,"
    " which exceeds this limit even without any output tokens (parameter=input_tokens, value=1025)"
)

BEHAVIOURS: dict[str, Handler] = {
    "": well,
    "unending": unending,
    "wait": wait,
    "drip": drip,
    "flood": flood,
    "silence": silence,
    "stall": stall,
    "reset": reset,
    "cut": cut,
    "nonsense": nonsense,
    "endless event": endless_event,
    "two choices": two_choices,
    "total of choices": total_of_choices,
    "no usage": no_usage,
    "mad usage": mad_usage,
    "crlf": crlf,
    "unframed": unframed,
    "loading": saying(503, {"message": "Loading model", "type": "unavailable_error", "code": 503}),
    "boom": saying(500, {"message": "\x1b[31mEngineCore encountered an issue.", "type": "InternalServerError"}),
    "busy": saying(429, {"message": "too many", "type": "rate_limit"}),
    "bad key": saying(401, {"message": "Invalid API Key", "type": "authentication_error"}),
    "bad field": saying(400, {"message": "`top_k` must be positive", "type": "BadRequestError", "param": "top_k"}),
    "cannot": saying(501, {"message": "This server does not support embeddings.", "type": "not_supported_error"}),
    "llama context": saying(
        400,
        {
            "message": "request (5031 tokens) exceeds the available context size (1024 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5031,
            "n_ctx": 1024,
        },
    ),
    "vllm context": saying(400, {"message": _VLLM, "type": "BadRequestError", "param": "input_tokens"}),
}
