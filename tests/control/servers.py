"""The server in a process of its own, as it is but for what a test prepares there: a pace, a host, a crash."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from app.settings import Home

Prepare = Callable[[], None]

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.control.servers", "app.control.server", "backends.process"])
_ENDS_WITHIN_S = 60.0


def start(home: Home, *prepare: Prepare) -> ForkServerProcess:
    """A server on `home`, after each `prepare`, which are functions of a module, was called in its process."""
    process = FORKS.Process(target=_serve, args=(str(home.state), prepare))
    process.start()
    return process


def end(process: ForkServerProcess) -> None:
    """Have a server end, as `stoker down` does; it must."""
    process.terminate()
    process.join(_ENDS_WITHIN_S)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"the server did not end within {_ENDS_WITHIN_S} s of SIGTERM")


@contextmanager
def server(home: Home, *prepare: Prepare) -> Iterator[ForkServerProcess]:
    """A server for the length of the block."""
    process = start(home, *prepare)
    try:
        yield process
    finally:
        end(process)


def without_gateway() -> None:
    """Have the server start no gateway."""
    import app.control.gateway

    setattr(app.control.gateway, "spawn", lambda *_: None)  # noqa: B010 # it is not the module's to export


def _serve(state: str, prepare: tuple[Prepare, ...]) -> None:
    from app.control.server import serve

    os.environ["STOKER_HOME"] = state
    for change in prepare:
        change()
    serve(Home(Path(state), Path(state)), wait=False)
