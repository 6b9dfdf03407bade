"""Reaching the server and the gateway: started if need be, of our version, with a transaction to write a wish in."""

import os
import pwd
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.domain.failures import StokerError
from app.processes import ensure_server, holder, link_agent
from app.settings import Home
from app.store.migrate import read_version, schema_version
from app.store.read import reading
from app.store.sqlite import connect_reader, translate
from app.version import __version__

if TYPE_CHECKING:
    from sqlmodel import Session

GATEWAY_WITHIN_S = 20.0
_POLL_S = 0.05


def require_server(home: Home) -> dict[str, Any]:
    """Make sure that a server of our version runs; what it announced.

    Raises SERVER_DOWN, SERVER_OLDER, STORE_NEWER, STORE_CORRUPT and CONFIG_INVALID.
    """
    _check_store(home)
    link_agent(home)
    facts = ensure_server(home)
    if facts.get("schema", 0) > schema_version():
        raise StokerError("STORE_NEWER", f"The running server is newer: version {facts.get('version')}.")
    if _older(facts):
        text = f"The running server has version {facts.get('version')}, this stoker {__version__}."
        raise StokerError("SERVER_OLDER", text)
    return facts


@contextmanager
def writing(home: Home) -> Iterator["Session"]:
    """One transaction in the store of a running server."""
    require_server(home)
    from app.store.write import Store

    with closing(Store(home.store)) as store, store.write() as session:
        yield session


@contextmanager
def noting(home: Home) -> Iterator["Session"]:
    """One transaction in the store as it stands, for what no server has to act on: none is started for it.

    Raises SERVER_OLDER, STORE_NEWER, NOT_FOUND without a store, and what a write may.
    """
    with reading(home.store):
        pass
    from app.store.write import Store

    with closing(Store(home.store)) as store, store.write() as session:
        yield session


def require_gateway(home: Home, wait_s: float = GATEWAY_WITHIN_S) -> str:
    """The gateway's base URL, once it answers. Raises SERVER_DOWN after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        url = (holder(home.gateway_lock) or {}).get("url")
        if isinstance(url, str) and _answers(url):
            return url
        if time.monotonic() >= deadline:
            raise StokerError("SERVER_DOWN", "The gateway does not answer.", "Look at `stoker logs @gateway`.")
        time.sleep(_POLL_S)


def actor() -> str:
    """Who is at the keyboard, for the timeline."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _check_store(home: Home) -> None:
    """Say at once what a server could only say in its log."""
    if not home.store.exists():
        return
    try:
        with closing(connect_reader(home.store)) as connection:
            read_version(connection)
    except sqlite3.Error as error:
        raise translate(error) from error


def _older(facts: dict[str, Any]) -> bool:
    older_schema = int(facts.get("schema", schema_version())) < schema_version()
    return older_schema or _numbers(str(facts.get("version", __version__))) < _numbers(__version__)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _answers(url: str) -> bool:
    import http.client  # with what it needs it takes as long as all of ours that a command imports

    parts = urlsplit(url)
    try:
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
