"""The server and the gateway themselves."""

from collections.abc import Mapping
from typing import Any

from app.domain.fleet import process_state
from app.render.cells import Cell, Line, Tone, line
from app.render.words import ago

_SIGNS: dict[str, tuple[str, Tone]] = {"running": ("●", "good"), "starting": ("◐", "busy"), "down": ("○", "dim")}


def document(server: Mapping[str, Any] | None, gateway: Mapping[str, Any] | None, store: str) -> dict[str, Any]:
    """What `status --json` prints, from what the holders of the two locks announced. `store` is its path."""
    return {
        "server": process_state(server),
        "pid": (server or {}).get("pid"),
        "since": (server or {}).get("since"),
        "version": (server or {}).get("version"),
        "gateway": {
            "state": process_state(gateway),
            "pid": (gateway or {}).get("pid"),
            "url": (gateway or {}).get("url"),
        },
        "store": store,
    }


def status_lines(facts: Mapping[str, Any], now: int) -> list[Line]:
    """The same for a person."""
    gateway = facts["gateway"]
    server = [f"pid {facts['pid']}", f"version {facts['version']}"] if facts["pid"] else []
    if facts["since"]:
        server.append(f"started {ago(now, facts['since'])}")
    edge = [f"pid {gateway['pid']}", f"{gateway['url']}/v1"] if gateway["url"] else []
    return [
        line("server   ", _sign(facts["server"]), *(f"   {text}" for text in server)),
        line("gateway  ", _sign(gateway["state"]), *(f"   {text}" for text in edge)),
        line(f"store    {facts['store']}"),
    ]


def _sign(state: str) -> Cell:
    glyph, tone = _SIGNS[state]
    return Cell(f"{glyph} {state}", tone)
