"""A server that kills itself with SIGKILL at a chosen point: before or after any commit, and any call to a backend.

The points are counted as they are passed, so `kill_at` = 1, 2, 3 … enumerates them all until a run ends unharmed.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from multiprocessing.context import ForkServerProcess
from typing import Any

from app.settings import Home
from tests.control import servers


def start_server(home: Home, kill_at: int | None = None) -> ForkServerProcess:
    """A server on `home`, without a gateway, that dies at its `kill_at`-th point."""
    return servers.start(home, servers.without_gateway, partial(_crash, kill_at))


def _crash(kill_at: int | None) -> None:
    from app.control.loop import Controller
    from backends.process import ProcessBackend

    passed = count(1)

    def point() -> None:
        if next(passed) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(*args: Any, **values: Any) -> Any:
            point()
            result = await call(*args, **values)
            point()
            return result

        return run

    for owner, name in (
        (Controller, "write"),
        (ProcessBackend, "create"),
        (ProcessBackend, "stop"),
        (ProcessBackend, "delete"),
    ):
        setattr(owner, name, around(getattr(owner, name)))
