"""An engine as a prober sees it: HTTP on loopback, with answers that a test decides."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Engine:
    """Answers completions with `token` and its health with `health`, both HTTP statuses; None is silence.

    `asked` are the paths that were asked for, with the fields of each request.
    """

    def __init__(self) -> None:
        self.token: int | None = 200
        self.health: int | None = 200
        self.tokens_asked = 0
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.checks = 0
        self.endpoint = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                path, body = line.split()[1].decode(), await reader.readexactly(length)
                self.asked.append((path, frozenset(json.loads(body)) if body else frozenset()))
                status = self._status(path)
                if status is None:
                    await reader.read()  # until the prober gives up
                    return
                writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\n{{}}".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _status(self, path: str) -> int | None:
        if path == "/health":
            self.checks += 1
            return self.health
        self.tokens_asked += 1
        return self.token


@asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    """An engine that listens."""
    found = Engine()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
