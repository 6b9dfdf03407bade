"""Escape and a key are two keys, and what begins with escape is still what it was."""

import pytest
from textual import events
from textual.message import Message

from widgets.escape import EscapeParser


def keys(*arrivals: str) -> list[str]:
    """The keys that are read when these arrive, each at once, and then nothing for a while."""
    parser = EscapeParser(False)
    read: list[Message] = [message for text in (*arrivals, "") for message in parser.feed(text)]
    return [message.key for message in read if isinstance(message, events.Key)]


@pytest.mark.parametrize(
    ("arrived", "read"),
    [
        ("\x1b3", ["escape", "3"]),
        ("\x1bq", ["escape", "q"]),
        ("\x1bG", ["escape", "G"]),
        ("\x1b:", ["escape", "colon"]),
        ("\x1b4hi\r", ["escape", "4", "h", "i", "enter"]),
        ("\x1b", ["escape"]),
        ("\x1b[A\x1b[1;5C\x1b[Z", ["up", "ctrl+right", "shift+tab"]),
        ("\x1bf\x1bb", ["ctrl+right", "ctrl+left"]),
        ("£", ["pound_sign"]),
    ],
)
def test_what_is_read(arrived: str, read: list[str]) -> None:
    assert keys(arrived) == read


def test_a_sequence_that_arrives_in_parts_is_still_one_key() -> None:
    assert keys("\x1b", "[", "B") == ["down"]
