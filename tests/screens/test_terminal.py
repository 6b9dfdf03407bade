"""What reaches a real terminal when everything that is shown wants to act on it: our own sequences and nothing else."""

import codecs
from pathlib import Path

from tests.screens.pty import Pty
from tests.screens.support import HOSTILE, Scribe

ATTACK = (
    "[blink]at[/] \x1b]0;pwned\x07 \x1b[77;77H \x1bP77q\x1b\\ \x9b77m \x9d0;pwned\x9c \x1b]8;;http://pwned\x07"
    " \u202epwned\u2066"
)
_FORBIDDEN = (
    *(b"\x1b]0;pwned", b"\x1b[77;77H", b"\x1bP77q", b"\x1b]8;;http://pwned", b"\x1b]52;c;QQ"),
    *("\x9b".encode(), "\x9d".encode(), "\x90".encode(), "\u202e".encode(), "\u2066".encode(), "\u200f".encode()),
)


def test_nothing_from_outside_reaches_the_terminal_as_anything_but_text(tmp_path: Path) -> None:
    attack = ATTACK + HOSTILE
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat", {"flags": {attack: attack}, "engine": attack, "backend": attack})
        instance = scribe.instance(
            deployment,
            name=f"chat-a{attack}",
            state="failed",
            phase="failed",
            failure_code="HOST_OOM",
            failure_evidence=f"evidence {attack}",
            failed_at=scribe.now,
        )
        attempt = scribe.attempt(instance)
        scribe.events(deployment, attack, scribe.now, [(attack, f"cause {attack}", 0)], attack)
        scribe.log(attempt, b"\xff\xfe\xc3\x28\n" + b"\x1b[" * 500_000 + b"\n" + f"written {attack}\n".encode() * 5)
        with Pty(scribe.home) as terminal:
            terminal.until("evidence [blink]at[/]")
            terminal.keys("\r")
            terminal.until("cause [blink]at[/]")
            terminal.keys("L")
            terminal.until("written [blink]at[/]")
            terminal.keys("t")
            terminal.keys("w")
            terminal.keys("g")
            terminal.until("\N{REPLACEMENT CHARACTER}")
    # All of it is UTF-8, but for a last character that has only come in part.
    codecs.getincrementaldecoder("utf-8")().decode(terminal.received)
    assert [each for each in _FORBIDDEN if each in terminal.received] == []
