"""Widgets under test: an app around them, what its screen says, and how to wait for something to be true."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

from widgets.theme import THEMES

T = TypeVar("T")
SMALL, LARGE = (80, 24), (120, 40)


class Stage(App[None]):
    """An app that shows some widgets from top to bottom and keeps the messages that reach it."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *widgets: Widget, theme: str = "ember") -> None:
        super().__init__()
        self.shown = widgets
        self.heard: list[Message] = []
        for each in THEMES:
            self.register_theme(each)
        self.theme = theme
        self.animation_level = "none"

    def compose(self) -> ComposeResult:
        yield from self.shown

    def on_stage(self, size: tuple[int, int] = SMALL) -> AbstractAsyncContextManager[Pilot[None]]:
        """The app running without a terminal."""
        return self.run_test(size=size, message_hook=self._hear)

    def _hear(self, message: Message) -> None:
        # A message that bubbles comes by once for every widget on its way.
        if type(message).__module__.startswith("widgets.") and not any(message is known for known in self.heard):
            self.heard.append(message)

    def said(self, kind: type[T]) -> list[T]:
        """The messages of one kind that arrived so far, oldest first."""
        return [message for message in self.heard if isinstance(message, kind)]


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run one scene to its end."""
    asyncio.run(scene())


def strips_of(app: App[Any]) -> list[Strip]:
    """What is on the screen, line by line, with its styles.

    Reads the compositor, which is private to Textual: this is the one place that does.
    """
    return app.screen._compositor.render_strips()


def lines_of(app: App[Any]) -> list[str]:
    """What is on the screen, line by line, without trailing blanks."""
    return [strip.text.rstrip() for strip in strips_of(app)]


def screen_of(app: App[Any]) -> str:
    """What is on the screen as one text, without the blank lines at its end."""
    return "\n".join(lines_of(app)).rstrip() + "\n"


async def until(pilot: Pilot[Any], true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true; fails after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < deadline, f"never came true\n{screen_of(pilot.app)}"
        await pilot.pause()


def golden(name: str, text: str, folder: Path = Path(__file__).parent) -> None:
    """Compare `text` with the file of that name in `golden/` of a folder of tests; with GOLDEN=write in the
    environment, write it."""
    path = folder / "golden" / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), text
