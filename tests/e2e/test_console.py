"""The console in a real terminal, on real processes and a real model: the whole main job, and what goes wrong."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.support import engines, wait_for
from tests.e2e.stoker import Stoker, installed
from tests.e2e.terminal import Terminal, needs_tmux

pytestmark = [needs_tmux, pytest.mark.timeout(180)]


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


@pytest.fixture
def terminal(stoker: Stoker) -> Iterator[Terminal]:
    terminal = Terminal(stoker)
    yield terminal
    terminal.close()


def test_from_nothing_to_an_answer_and_back(terminal: Terminal) -> None:
    terminal.shows("Nothing is launched yet", "enter launches the bundled model")
    terminal.keys("Enter")
    terminal.shows("smollm2", "● DEPLOYED")
    terminal.keys("4")
    terminal.shows("ask something", "● DEPLOYED")
    terminal.type("Name a port on the Baltic sea")
    terminal.keys("Enter")
    terminal.shows("TTFT")
    terminal.keys("C-x")  # a small model may never come to an end of its own
    terminal.shows("TTFT", " id ")
    terminal.keys("3")
    terminal.shows("llama.cpp", "following")
    terminal.keys("1")
    terminal.shows("● DEPLOYED")
    terminal.keys("s")
    terminal.shows("○ STOPPED")
    terminal.keys("q")
    terminal.shows("left with 0")


def test_the_server_dies_and_the_terminal_is_closed_and_reopened(stoker: Stoker, terminal: Terminal) -> None:
    terminal.shows("enter launches")
    terminal.keys("Enter")
    terminal.shows("● DEPLOYED")
    engine, server = stoker.engine(), stoker.pid("server")
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: stoker.pid("server") != server, "another server")
    terminal.shows("● DEPLOYED")
    terminal.close()
    terminal.open()
    terminal.shows("smollm2", "● DEPLOYED")
    assert list(engines(stoker.home)) == [engine]


def test_a_stopped_server_is_said_and_keys_answer(stoker: Stoker, terminal: Terminal) -> None:
    terminal.shows("enter launches")
    terminal.keys("Enter")
    terminal.shows("● DEPLOYED")
    server = stoker.pid("server")
    os.kill(server, signal.SIGSTOP)
    try:
        terminal.shows("server not answering since")
        terminal.keys("?")
        terminal.shows("Stop it after requests in flight")
        terminal.keys("Escape")
        terminal.keys("2")
        terminal.shows("MODEL", "NAME")
    finally:
        os.kill(server, signal.SIGCONT)
    terminal.keys("Escape")
    wait_for(lambda: "not answering" not in terminal.text(), "the server to be heard of again")


@pytest.mark.parametrize(
    ("words", "env"), [("", {"NO_COLOR": "1", "COLORTERM": ""}), ("--slow --ascii --no-mouse", {})]
)
def test_a_small_terminal_without_colour_or_on_a_slow_link(stoker: Stoker, words: str, env: dict[str, str]) -> None:
    terminal = Terminal(stoker, 80, 24, words, env)
    try:
        terminal.shows("enter launches")
        terminal.keys("Enter")
        terminal.shows("DEPLOYED", "1/1")
        assert max(map(len, terminal.text().splitlines())) <= 80
    finally:
        terminal.close()


def test_sighup_puts_the_terminal_right(terminal: Terminal) -> None:
    terminal.shows("enter launches")
    os.kill(terminal.console_pid(), signal.SIGHUP)
    terminal.shows("left with 0")
