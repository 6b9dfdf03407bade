"""The machine that would run an engine: this one, or a host as the server has last seen it."""

import importlib.util
import json
import os
import platform
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from app.domain.choice import Machine
from app.domain.engines import Preset
from app.domain.failures import StokerError
from app.domain.gpus import HostLook
from app.domain.hosts import LOCAL
from app.settings import Home, load_settings
from app.store import hosts, read

DOCKER_SOCKET = "/var/run/docker.sock"
ANYWHERE = "any host"
"""The host of what may run on any: nothing is known of it, so nothing speaks against it."""
_RECENT_US = 60_000_000
"""A look of the server at this machine that is older does not say what is free; then it is looked at from here."""
_LOOK_S = 10.0
"""How long a look from here counts."""


def machine_of(host: str | None, home: Home, presets: Mapping[str, Preset]) -> Machine:
    """What is known of `host`, None for this machine. May take seconds where a driver hangs."""
    look = _seen(home, host or LOCAL)
    if host is None and (look is None or look.at < time.time_ns() // 1_000 - _RECENT_US):
        look = _looked(home, int(time.monotonic() / _LOOK_S))
    gpus = None if look is None or look.state == "unreachable" else look.gpus
    driver, cuda = (None, None) if look is None else (look.driver, look.cuda)
    if host is not None:  # what a Docker host is, whatever it is called: containers are Linux
        return Machine(host, "linux", "x86_64", gpus, driver, cuda, containers=True)
    return Machine(
        "this machine",
        platform.system().lower(),
        platform.machine().lower(),
        gpus,
        driver,
        cuda,
        containers=_daemon(home),
        installed=frozenset(preset.name for preset in presets.values() if preset.command and installed(preset)),
    )


def installed(preset: Preset) -> bool:
    """Whether the engine's program is on this machine."""
    return preset.module is None or importlib.util.find_spec(preset.module) is not None


def _seen(home: Home, host: str) -> HostLook | None:
    try:
        with read.reading(home.store) as connection:
            facts = hosts.host(connection, host)
    except StokerError:
        return None  # there is no store yet
    return None if facts is None else facts.look


@lru_cache(maxsize=1)
def _looked(home: Home, _moment: int) -> HostLook:
    from app.hosts.look import look_at_all

    return look_at_all(home, {LOCAL: ""})[LOCAL]


def _daemon(home: Home) -> bool:
    """Whether there is a Docker daemon that could be asked: where it is is known, not that it answers.

    The server finds it by its own environment, so that goes before this one.
    """
    named = load_settings(home).server.env.get("DOCKER_HOST") or os.environ.get("DOCKER_HOST", "")
    if not named and (os.environ.get("DOCKER_CONTEXT") or _context()):
        return True
    address = urlsplit(named or f"unix://{DOCKER_SOCKET}")
    return address.scheme != "unix" or os.access(address.path, os.R_OK | os.W_OK)


def _context() -> bool:
    """Whether a Docker context of one's own is in use."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        chosen = json.loads((folder / "config.json").read_text("utf-8")).get("currentContext", "default")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(chosen != "default")
