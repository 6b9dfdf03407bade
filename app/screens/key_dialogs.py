"""What is asked before a key is made, replaced or ended, and the one time that a new one is shown."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.domain.quantities import duration_us, moment_us
from app.domain.text import safe
from app.render.keys import curl, shown_once, snippet
from app.screens.base import ConsoleScreen
from app.store.fleet import endpoint
from widgets.asking import FormDialog, Sheet
from widgets.form import Field

if TYPE_CHECKING:
    from sqlmodel import Session

    from app.store.keys import Made

_GRACE = "24h"


def ask_new_key(screen: ConsoleScreen) -> None:
    """Ask what a key is for, make it, and show it with how to use it."""
    console = screen.console
    known = console.names

    def complete(text: str) -> Sequence[str]:
        before, comma, last = text.rpartition(",")
        start = before + comma + " " * (len(last) - len(last.lstrip()))
        return [f"{start}{name}" for name in known if name.startswith(last.strip())]

    def check(values: Mapping[str, str]) -> tuple[str, str] | None:
        strange = [name for name in _names(values) if name not in known]
        if strange:
            return "for", f"There is no deployment `{safe(strange[0], 80)}`."
        try:
            _expiry(values)
        except ValueError as error:
            return "expires", str(error)
        return None

    def made(values: Mapping[str, str] | None) -> None:
        if values is None:
            return
        name, deployments, expires = values["name"].strip(), _names(values), _expiry(values)

        def change(session: "Session") -> tuple["Made", str | None]:
            from app.store.keys import create

            return create(session, name, deployments, expires), endpoint(console.home)

        console.wish("make a key", change, lambda found: show_key(screen, *found))

    fields = (
        Field("name", "NAME", placeholder="what or whom it is for"),
        Field(
            "for", "FOR", placeholder="every deployment", complete=complete, hint=[("names, parted by commas", "dim")]
        ),
        Field("expires", "EXPIRES", placeholder="never", hint=[("30d, or a date and time", "dim")]),
    )
    dialog = FormDialog([("A new key", "strong")], fields, yes="make it", check=check, glyphs=console.glyphs)
    console.push_screen(dialog, made)


def ask_rotate(screen: ConsoleScreen, key: Mapping[str, Any]) -> None:
    """Ask how long the old key still works, make a new one in its place, and show it."""
    console = screen.console

    def check(values: Mapping[str, str]) -> tuple[str, str] | None:
        try:
            _grace(values)
        except ValueError as error:
            return "grace", str(error)
        return None

    def rotated(values: Mapping[str, str] | None) -> None:
        if values is None:
            return
        grace = _grace(values)

        def change(session: "Session") -> tuple["Made", str | None]:
            from app.store.keys import rotate

            return rotate(session, key["id"], grace), endpoint(console.home)

        console.wish(f"rotate {key['prefix']}", change, lambda found: show_key(screen, *found))

    fields = (Field("grace", "GRACE", _GRACE, hint=[("how long the old one still works: 0s, 24h, 7d", "dim")]),)
    title = screen.line((f"A new key in place of {key['prefix']} {key['name']}", "strong"))
    console.push_screen(FormDialog(title, fields, yes="rotate", check=check, glyphs=console.glyphs), rotated)


def ask_revoke(screen: ConsoleScreen, key: Mapping[str, Any]) -> None:
    """Ask, and end the key."""
    console = screen.console

    def change(session: "Session") -> None:
        from app.store.keys import revoke

        revoke(session, key["id"])

    scope = "every deployment" if key["scope"] is None else ", ".join(key["scope"]) or "no deployment that is left"
    body = (
        f"It is for {scope}. Whoever uses it is refused within a second; requests in flight finish.",
        "A key that was revoked never works again.",
    )
    console.confirm(
        f"Revoke {key['prefix']} {key['name']}?",
        body,
        "revoke",
        lambda: console.wish(f"revoke {key['prefix']}", change),
    )


def show_key(screen: ConsoleScreen, made: "Made", url: str | None) -> None:
    """The new key, whole, this one time, and how to use it at `url`, None while no gateway listens."""
    console = screen.console
    model = (made.scope or console.names or ("NAME",))[0]
    text = made.key.text

    def copied(what: str, taken: str) -> str:
        console.copy(taken, what, secret=True)
        return f"{what} copied, if the terminal allows it"

    keys = [("y", "copy key", lambda: copied("key", text))]
    if url is not None:
        keys += [
            ("c", "curl", lambda: copied("curl command", "\n".join(curl(url, text, model)))),
            ("o", "openai", lambda: copied("Python code", "\n".join(snippet(url, text, model)))),
        ]
    lines = [screen.spans(line, 1) for line in shown_once(text, url, model)]
    title = screen.line(("A new key. It cannot be shown again.", "strong"))
    console.push_screen(Sheet(title, lines, keys, indent=4, glyphs=console.glyphs))


def _names(values: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys(part.strip() for part in values["for"].split(",")) if name]


def _expiry(values: Mapping[str, str]) -> int | None:
    text = values["expires"].strip()
    return moment_us(text, time.time_ns() // 1_000) if text else None


def _grace(values: Mapping[str, str]) -> int:
    text = values["grace"].strip()
    return 0 if text in ("0", "0s") else duration_us(text)
