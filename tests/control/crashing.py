"""A server that kills itself with SIGKILL at a chosen point: before or after any commit, and any call to a backend.

The points are counted as they are passed, so `kill_at` = 1, 2, 3 … enumerates them all until a run ends unharmed.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from itertools import count
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from app.settings import Home

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.control.crashing", "app.control.server", "backends.process"])


def start_server(home: Home, kill_at: int | None = None) -> ForkServerProcess:
    """A server on `home`, without a gateway, that dies at its `kill_at`-th point."""
    process = FORKS.Process(target=_serve, args=(str(home.state), kill_at))
    process.start()
    return process


def _serve(state: str, kill_at: int | None) -> None:
    import app.control.gateway
    from app.control.loop import Controller
    from app.control.server import serve
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
    setattr(app.control.gateway, "spawn", lambda *_: None)  # noqa: B010 # it is not the module's to export
    os.environ["STOKER_HOME"] = state
    serve(Home(Path(state), Path(state)), wait=False)
