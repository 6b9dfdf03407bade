"""The moment a client leaves: whatever is done for it is cancelled, wherever that stands."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class ClientGone(Exception):
    """The client closed its connection."""


class Departure:
    """Tells the task that serves a connection that its client has left.

    The protocol calls `happen`. ASGI's own way, a second task that waits in `receive`, costs as much as all the checks
    of a request together.
    """

    __slots__ = ("_gone", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._gone = False

    def happen(self) -> None:
        """The client is gone."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    async def guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`, which is cancelled as soon as the client leaves. Raises ClientGone then."""
        if self._happened():
            work.close()
            raise ClientGone
        task = self._task = asyncio.current_task(self._loop)
        try:
            await work
        except asyncio.CancelledError:
            if not self._happened():
                raise
            if task is not None:
                task.uncancel()
            raise ClientGone from None
        finally:
            self._task = None

    def _happened(self) -> bool:
        return self._gone
