"""A console in front of a gateway that does what a test says: deployments to talk to, and what is on the screen."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from app.console import Console, Options
from app.settings import Home
from tests.gateway.engine import Engine
from tests.screens.support import Scribe, looks
from tests.widgets.support import screen_of, until


@contextmanager
def talking(path: Path, *names: str, **base: Any) -> Iterator[tuple[Scribe, Engine]]:
    """A home with deployments of these names, each serving, and the engine that stands for its gateway.

    `base` is what their variants have that is not the usual.
    """
    engine = Engine()
    try:
        with Scribe(path) as scribe:
            for name in names:
                instance = scribe.instance(scribe.deployment(name, base=base))
                scribe.attempt(instance)
            scribe.up(engine.url)
            yield scribe, engine
    finally:
        engine.close()


class Person:
    """Somebody at the console: presses keys, and looks until something is there."""

    def __init__(self, app: Console, pilot: Pilot[None]) -> None:
        self.app, self._pilot = app, pilot

    async def presses(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def asks(self, question: str) -> None:
        """Type a question into the line, which has the focus, and send it."""
        await self.types(question)
        await self.presses("enter")

    async def types(self, text: str) -> None:
        """Type a text into whatever has the focus."""
        await self.presses(*(_KEYS.get(char, char) for char in text))

    async def sees(self, *texts: str) -> None:
        """Wait until all of these are on the screen at once."""
        await until(self._pilot, lambda: all(text in self.screen for text in texts))

    async def looks(self, name: str) -> None:
        """Compare the screen with what it once was."""
        await looks(self._pilot, name)

    async def waits(self, true: Callable[[], object]) -> None:
        """Wait until something is true."""
        await until(self._pilot, true)

    async def resizes(self, width: int, height: int) -> None:
        """Pull the window."""
        await self._pilot.resize_terminal(width, height)

    @property
    def screen(self) -> str:
        """What is on the screen."""
        return screen_of(self.app)


_KEYS = {
    " ": "space",
    "?": "question_mark",
    ".": "full_stop",
    ",": "comma",
    "/": "slash",
    "-": "minus",
    "_": "underscore",
}


def visit(home: Home, scene: Callable[[Person], Any], size: tuple[int, int] = (120, 40), **options: bool) -> None:
    """Play a scene at a console of its own."""

    async def run() -> None:
        app = Console(home, Options(**options))
        async with app.run_test(size=size) as pilot:
            await scene(Person(app, pilot))

    asyncio.run(run())
