"""Reaching the server from a command: as `app.reach`, but who sits at a terminal is offered to restart an older one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from app import reach
from app.cli.output import confirm, interactive, note
from app.domain.failures import StokerError
from app.processes import end, ensure_server
from app.settings import Home

if TYPE_CHECKING:
    from sqlmodel import Session

END_WITHIN_S = 60.0


def require_server(home: Home) -> dict[str, Any]:
    """`reach.require_server`; SERVER_OLDER only if nobody agrees to the restart."""
    try:
        return reach.require_server(home)
    except StokerError as error:
        if error.code != "SERVER_OLDER" or not interactive():
            raise
        note(f"{error.message} Everything that runs keeps running while it is restarted.")
        if not confirm("Restart it?", default=True):
            raise
    end(home.server_lock, END_WITHIN_S)
    return ensure_server(home)


@contextmanager
def writing(home: Home) -> Iterator["Session"]:
    """One transaction in the store of a running server."""
    require_server(home)
    with reach.writing(home) as session:
        yield session
