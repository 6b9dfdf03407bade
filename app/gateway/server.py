"""uvicorn, as the edge runs it."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from app.domain.failures import StokerError
from app.gateway.edge import Edge
from app.gateway.protocol import EdgeProtocol, bind
from app.settings import EdgeSettings

DEFAULT_PORT = 8400
PORTS_TRIED = 100
DRAIN_S = 30
"""How long requests in flight may take after the gateway was told to end."""


class EdgeServer(uvicorn.Server):
    """Serves `edge` on `listener` until SIGTERM or SIGINT; `on_ready` is called once it listens."""

    def __init__(
        self, edge: Edge, settings: EdgeSettings, listener: socket.socket, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                edge,
                http=bind(settings, edge.note_refused),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._edge, self._listener, self._on_ready = edge, listener, on_ready

    async def run_until_stopped(self) -> None:
        """Serve; returns when told to stop and requests in flight have ended. What has not ended is broken off after
        DRAIN_S, or at once by a SIGINT after that."""
        await self.serve([self._listener])
        for task in self.server_state.tasks:
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again when it has stopped, which would end us before the spool is drained.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # uvicorn ticks ten times a second
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, EdgeProtocol):
                    connection.check_times(now)
            self._edge.router.check_times()
        return await super().on_tick(counter)


def open_listener(settings: EdgeSettings) -> socket.socket:
    """A bound socket: the configured port, or 8400 or the next free one. Raises PORT_IN_USE."""
    ports = [settings.port] if settings.port else list(range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED))
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
            # Two sockets may be bound to one port as long as neither listens.
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise StokerError(
                    "CONFIG_INVALID", f"The edge cannot listen on {settings.host}:{port}: {error}."
                ) from None
        else:
            return listener
    wanted = f"Port {settings.port} is" if settings.port else f"Ports {ports[0]} to {ports[-1]} are"
    raise StokerError("PORT_IN_USE", f"{wanted} taken.", "Set another `edge.port`, or 0 for the next free one.")


def address(listener: socket.socket) -> tuple[str, int, str]:
    """(host, port, base URL) for a client on this machine."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 # only compared
    return host, port, f"http://{reachable}:{port}"
