"""What reaches a real terminal when everything that is shown wants to act on it: our own sequences and nothing else."""

import codecs
import json
from pathlib import Path

from tests.screens.pty import Pty
from tests.screens.support import HOSTILE, Scribe
from tests.screens.talking import talking

ATTACK = (
    "[blink]at[/] \x1b]0;pwned\x07 \x1b[77;77H \x1bP77q\x1b\\ \x9b77m \x9d0;pwned\x9c \x1b]8;;http://pwned\x07"
    " \u202epwned\u2066"
)
_FORBIDDEN = (
    *(b"\x1b]0;pwned", b"\x1b[77;77H", b"\x1bP77q", b"\x1b]8;;http://pwned", b"\x1b]52;c;QQ"),
    *("\x9b".encode(), "\x9d".encode(), "\x90".encode(), "\u202e".encode(), "\u2066".encode(), "\u200f".encode()),
)


def acting(received: bytes) -> list[bytes]:
    """What should not have reached the terminal. All else is UTF-8, but for a last character that came in part."""
    codecs.getincrementaldecoder("utf-8")().decode(received)
    return [each for each in _FORBIDDEN if each in received]


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
    assert acting(terminal.received) == []


def test_neither_what_a_model_says_nor_what_a_client_sends(tmp_path: Path) -> None:
    attack = ATTACK + HOSTILE
    with talking(tmp_path, "demo") as (scribe, engine):
        engine.words = [attack, *attack, "\n", attack[:17], attack[17:], "\nthe end"]
        scribe.refused(request_id=attack, code=attack, steps=json.dumps([{"name": attack, "at": 1, "detail": attack}]))
        scribe.key(f"key {attack}")
        with Pty(scribe.home) as terminal:
            terminal.until("demo")
            terminal.keys("4")
            terminal.until("ask something", "variant 1")
            terminal.keys("Ports?\r")
            terminal.until("the end")
            terminal.keys("h")
            terminal.until("FIRST QUESTION")
            terminal.keys("6")
            terminal.until("key [blink]at[/]")
            terminal.keys("\t")
            terminal.keys("\r")
            terminal.until("AFTER")
    assert acting(terminal.received) == []


def test_keys_that_arrive_together_lead_where_they_would_one_by_one(tmp_path: Path) -> None:
    with talking(tmp_path, "demo") as (scribe, engine), Pty(scribe.home) as terminal:
        terminal.until("demo")
        terminal.keys(":logs @server\r")
        terminal.until("@server has written nothing yet")
        terminal.keys("/demo\x1b4")
        terminal.until("ask something", "variant 1")
        terminal.keys("Ports?\r6")
        terminal.until("LAST USED")
        terminal.keys("\x1b4")
        terminal.until("Ports?", "3 out")
    assert [call.body["messages"][-1]["content"] for call in engine.calls if call.body] == ["Ports?"]
