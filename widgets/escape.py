"""Escape and the next key as the two keys they are, however close together they arrive.

In a terminal without the newer keyboard protocols the escape key begins every other sequence, and Textual reads it and
a key that arrives with it as alt and that key, or as what a Mac's option key types: escape and `3` as `£`. Nothing of
ours is on alt, and over a slow link, or from a quick hand, an escape and the key that was meant would both be lost.
"""

from collections.abc import Iterable

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver

_ESCAPE = "\x1b"


class EscapeParser(XTermParser):
    """Textual's parser of what a terminal sends, without the key alt."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        typed_by_option = len(sequence) == 2 and isinstance(ANSI_SEQUENCES_KEYS.get(sequence), str)
        if alt or typed_by_option:
            yield events.Key("escape", _ESCAPE)
            sequence = sequence[-1]
        yield from super()._sequence_to_key_events(sequence)


def split_escape() -> None:
    """Read every terminal of this process so. Textual's driver makes its parser itself, and has no setting for it."""
    setattr(linux_driver, "XTermParser", EscapeParser)  # noqa: B010 # a class of a module is no variable to mypy
