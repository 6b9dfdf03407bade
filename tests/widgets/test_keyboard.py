"""Keys that arrive together do what they would have done one by one."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

import pytest
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tests.widgets.support import until
from widgets.keyboard import OrderedKeys
from widgets.lines import Lines
from widgets.prompt import CommandLine


class Second(Screen[None]):
    """Another screen, with something that takes the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("b", "app.note('back')")]

    def compose(self) -> ComposeResult:
        yield Lines(focusable=True)


class Desk(OrderedKeys[None]):
    """Keeps what was done, in order."""

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#first"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "ask"),
        Binding("n", "note('n')"),
        Binding("s", "second"),
        Binding("r", "remove"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def compose(self) -> ComposeResult:
        yield Lines(focusable=True, id="first")
        yield Lines(focusable=True, id="other")
        yield CommandLine()

    def action_ask(self) -> None:
        self.query_one(CommandLine).ask()

    def action_note(self, what: str) -> None:
        self.done.append(what)

    def action_second(self) -> None:
        self.push_screen(Second())

    async def action_remove(self) -> None:
        await self.query_one("#first").remove()

    @on(CommandLine.Submitted)
    def _typed(self, event: CommandLine.Submitted) -> None:
        self.done.append(f":{event.text}")


KEYS = {":": "colon", "\r": "enter", " ": "space", "\x1b": "escape"}


def burst(app: Desk, keys: Iterable[str]) -> None:
    """Have keys arrive at once."""
    for char in keys:
        app.post_message(events.Key(KEYS.get(char, char), char))


@pytest.mark.parametrize(
    ("keys", "done"),
    [
        (":stop n\rn", [":stop n", "n"]),
        ("n:n\x1bn:\rn", ["n", "n", ":", "n"]),
        ("snb", ["n", "back"]),
        ("rnn:n\r", ["n", "n", ":n"]),
        ("n" * 100, ["n"] * 100),
    ],
)
def test_each_key_finds_what_the_one_before_has_left(keys: str, done: list[str]) -> None:
    async def scene() -> None:
        app = Desk()
        async with app.run_test() as pilot:
            burst(app, keys)
            await until(pilot, lambda: app.done == done)

    asyncio.run(scene())


def test_what_is_pasted_stays_behind_the_keys_before_it() -> None:
    async def scene() -> None:
        app = Desk()
        async with app.run_test() as pilot:
            burst(app, ":a")
            app.post_message(events.Paste("bc"))
            burst(app, "d\r")
            await until(pilot, lambda: app.done == [":abcd"])

    asyncio.run(scene())


def test_the_focus_goes_nowhere_when_what_had_it_is_gone() -> None:
    async def scene() -> None:
        app = Desk()
        async with app.run_test() as pilot:
            await pilot.press("colon")
            await app.query_one("#first").remove()
            await pilot.press("escape", "n")
            await until(pilot, lambda: app.done == ["n"])

    asyncio.run(scene())
