"""What a host is called and how it is reached: names and addresses, as they are typed and as `config.toml` has them."""

import re
from dataclasses import dataclass
from typing import Literal

from app.domain.names import NAME_RULE, valid_name
from app.domain.text import safe

LOCAL = "local"
"""This machine, which is always there and is not configured."""

SIMULATED = "simulated"
"""The backend of hosts that are only played."""

Scheme = Literal["ssh", "tcp", "unix", "context"]

# Nothing here may begin with a dash: a host name that does would be an option of `ssh`.
_USER = r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})@)?"
_HOST = r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?\])"
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_SHAPES: dict[Scheme, re.Pattern[str]] = {
    "ssh": re.compile(rf"ssh://{_USER}{_HOST}{_PORT}/?"),
    "tcp": re.compile(rf"tcp://(?P<user>)?{_HOST}{_PORT}/?"),
    "unix": re.compile(r"unix://(?P<path>/[^\0]{1,100})"),
    "context": re.compile(r"context://(?P<path>[A-Za-z0-9][A-Za-z0-9_.+-]{0,127})"),
}
_SHAPE_RULE = "ssh://[USER@]HOST[:PORT], tcp://HOST:PORT, unix:///PATH or context://NAME"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host is. `port` is None for the one that SSH's own configuration says.

    `path` is the daemon's socket (`unix`) or the name of a Docker context (`context`), empty for the others.
    """

    scheme: Scheme
    host: str = ""
    user: str | None = None
    port: int | None = None
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{self.path}"
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        return f"{self.scheme}://{user}{self.host}{port}"


def parse_address(text: str) -> Address:
    """The address that `text` says; `[USER@]HOST[:PORT]` alone is one for SSH. ValueError has a sentence to show."""
    full = text if "://" in text else f"ssh://{text}"
    for scheme, shape in _SHAPES.items():
        if (match := shape.fullmatch(full)) is None:
            continue
        found = match.groupdict()
        if found.get("path"):
            return Address(scheme, path=found["path"])
        port = None if found["port"] is None else int(found["port"])
        if port is None and scheme == "tcp":
            raise ValueError(f"`{safe(text, 80)}` names no port; give tcp://HOST:PORT.")
        if port is not None and not 0 < port < 65_536:
            raise ValueError(f"`{safe(text, 80)}`: there is no port {port}.")
        return Address(scheme, found["host"], found["user"] or None, port)
    raise ValueError(f"`{safe(text, 80)}` is no address of a host; give {_SHAPE_RULE}.")


def check_host_name(name: str) -> None:
    """ValueError, with a sentence to show, unless a host may be called `name`."""
    if name == LOCAL:
        raise ValueError(f"`{LOCAL}` is this machine; choose another name.")
    if not valid_name(name):
        raise ValueError(f"`{safe(name, 80)}` is no name for a host; use {NAME_RULE}.")
