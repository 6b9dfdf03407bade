"""Keys in the order they were typed, each taken when the one before has had its effect.

Textual gives a key to whatever has the focus when it arrives, and looks for its binding only when it has come up
through the queues of all widgets above. Of keys that arrive together, as over a slow link or on a busy machine, the
second would be given away before the first has moved the focus: of `:stop` the `s` would stop something.
"""

import time
from collections import deque

from textual import events, on
from textual.app import App, ReturnType
from textual.message import Message

ROUNDS = 3
"""How often a key is followed. Its effect may be a message whose handler sends another, as when a line is entered: from
the entry to the command line, and from there to the app."""
PATIENCE_S = 1.0
"""A follower may be lost with a widget that is removed; the next key waits no longer than this."""


class Settled(Message):
    """Follows a key through the same queues: when it has arrived, so has whatever was before it."""

    def __init__(self, number: int, rounds: int) -> None:
        super().__init__()
        self.number, self.rounds = number, rounds


class OrderedKeys(App[ReturnType]):
    """An app that takes one key after the other."""

    _number = 0
    _taken_at = 0.0
    _settling = False
    _hastening = False

    def on_load(self) -> None:
        self._waiting: deque[events.Event] = deque()

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self._settling:
            self._waiting.append(event)
            if not self._hastening:
                self._hastening = True
                self.set_timer(PATIENCE_S, self._hasten)
        else:
            await self._take(event)

    async def _take(self, event: events.Event) -> None:
        self._number, self._settling, self._taken_at = self._number + 1, True, time.monotonic()
        await super().on_event(event)
        self._follow(ROUNDS)

    def _follow(self, rounds: int) -> None:
        settled = Settled(self._number, rounds)
        if not (self.focused or self.screen).post_message(settled):
            self.post_message(settled)

    @on(Settled)
    def _settled(self, message: Settled) -> None:
        # Not at once: a change of the focus that was asked for meanwhile is in the queue of the app.
        if message.number == self._number:
            self.call_later(self._go_on, message)

    async def _go_on(self, message: Settled) -> None:
        if message.number != self._number:
            return
        if message.rounds > 1:
            self._follow(message.rounds - 1)
        else:
            await self._next()

    async def _next(self) -> None:
        self._settling = False
        if self._waiting:
            await self._take(self._waiting.popleft())

    async def _hasten(self) -> None:
        if time.monotonic() - self._taken_at >= PATIENCE_S:
            await self._next()
        self._hastening = bool(self._waiting)
        if self._hastening:
            self.set_timer(PATIENCE_S, self._hasten)
