"""The console in a real terminal, on real processes and a real model: the whole main job, and what goes wrong."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.control.support import bundled_model, engines, wait_for
from tests.e2e.stoker import Stoker, installed, refusal
from tests.e2e.terminal import Terminal, needs_tmux

pytestmark = [needs_tmux, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Place:
    """Where somebody sits."""

    columns: int = 110
    rows: int = 28
    words: str = ""
    env: dict[str, str] = field(default_factory=dict)


PLACES = [
    pytest.param(Place(), id="wide"),
    pytest.param(Place(80, 24, env={"NO_COLOR": "1", "COLORTERM": ""}), id="small-without-colour"),
    pytest.param(Place(words="--slow --ascii --no-mouse"), id="slow-link"),
]


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def terminal(stoker: Stoker, place: Place) -> Iterator[Terminal]:
    terminal = Terminal(stoker, place.columns, place.rows, place.words, place.env)
    yield terminal
    terminal.close()


def launched(terminal: Terminal) -> None:
    """Launch the bundled model with the first key there is, and wait until it serves."""
    terminal.shows("Nothing is launched yet", "enter launches the bundled model")
    terminal.keys("Enter")
    terminal.shows("smollm2", " DEPLOYED", "1/1")


@pytest.mark.parametrize("place", PLACES)
def test_from_nothing_to_an_answer_and_back(terminal: Terminal, place: Place) -> None:
    launched(terminal)
    terminal.keys("4")
    terminal.shows("ask something", " DEPLOYED")
    terminal.type("Name a port on the Baltic sea")
    terminal.keys("Enter")
    terminal.shows("TTFT")
    terminal.keys("C-x")  # a small model may never come to an end of its own
    terminal.shows("TTFT", " id ")
    terminal.keys("3")
    terminal.shows("llama.cpp", "following")
    terminal.keys("Escape", "1")
    terminal.shows("READY", " DEPLOYED")
    assert max(map(len, terminal.text().splitlines())) <= place.columns
    terminal.keys("s")
    terminal.shows(" STOPPED")
    terminal.keys("q")
    terminal.shows("left with 0")


def test_the_server_dies_and_the_terminal_is_closed_and_reopened(stoker: Stoker, terminal: Terminal) -> None:
    launched(terminal)
    engine, server = stoker.engine(), stoker.pid("server")
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: stoker.pid("server") != server, "another server")
    terminal.shows("● DEPLOYED")
    terminal.close()
    terminal.open()
    terminal.shows("smollm2", "● DEPLOYED")
    assert list(engines(stoker.home)) == [engine]


def test_a_stopped_server_is_said_and_keys_answer(stoker: Stoker, terminal: Terminal) -> None:
    launched(terminal)
    server = stoker.pid("server")
    os.kill(server, signal.SIGSTOP)
    try:
        terminal.shows("server not answering since")
        terminal.keys("?")
        terminal.shows("Stop it after requests in flight")
        terminal.keys("Escape", "2")
        terminal.shows("MODEL", "NAME")
    finally:
        os.kill(server, signal.SIGCONT)
    terminal.keys("Escape")
    wait_for(lambda: "not answering" not in terminal.text(), "the server to be heard of again")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_key_is_made_and_used_and_ends(stoker: Stoker, terminal: Terminal) -> None:
    launched(terminal)
    terminal.keys("6")
    terminal.shows("LAST USED")
    terminal.keys("n")
    terminal.shows("A new key", "every deployment")
    terminal.type("a friend")
    terminal.keys("C-l")
    terminal.shows("It cannot be shown again")
    key = terminal.finds(r"stk_\w{8}_\w+")
    terminal.keys("c", "Escape")
    wait_for(lambda: key not in terminal.text(), "the key to be gone")
    terminal.shows("a friend", "active")
    client = stoker.client(key)
    hello = client.completions.create(model="smollm2", prompt="Hello", max_tokens=2)
    assert hello.usage is not None
    assert hello.usage.completion_tokens == 2
    assert curl(stoker, key) == "200"
    terminal.shows("● 200")
    terminal.keys("x")
    terminal.shows("Revoke stk_", "a friend?")
    terminal.keys("y")
    terminal.shows("a friend", "revoked")
    wait_for(lambda: refusal(client) == "AUTH_REVOKED_TOKEN", "the gateway to know")
    assert curl(stoker, key) == "401"


def test_the_form_launches_what_it_says(terminal: Terminal) -> None:
    terminal.shows("Nothing is launched yet")
    terminal.keys("2")
    terminal.shows("MODEL", "COMMAND", "all passed")
    terminal.keys("Down", "Right")
    terminal.shows("large ", "--ctx-size 32768")
    terminal.keys("Left", "Left")
    terminal.shows("--ctx-size 4096", "--parallel 1")
    terminal.keys("C-o")
    terminal.shows("CONTEXT", "REPLICAS")
    terminal.keys("Down")
    terminal.type("small")
    terminal.keys(*["Down"] * 5)
    terminal.type("1k")
    terminal.keys("Down")
    terminal.type("two")
    terminal.shows("no number from 1 to 1000")
    terminal.keys("C-u", "2")
    terminal.shows("--ctx-size 2048", "--parallel 2")
    terminal.keys("C-l")
    terminal.shows("small", "● DEPLOYED", "context 1024, 2 at once", "INITIALIZING → DEPLOYED")


def test_a_failure_is_read_and_mended_and_started_again(stoker: Stoker, terminal: Terminal, tmp_path: Path) -> None:
    model = tmp_path / "mine.gguf"
    with bundled_model().open("rb") as file:
        model.write_bytes(file.read(5_000_000))
    terminal.shows("Nothing is launched yet")
    stoker.run("launch", str(model), "--name", "mine", "--ctx", "256", "--seqs", "1")
    terminal.shows("✖ FAILED MODEL_LOAD_ERROR", "error loading model: tensor", "start again")
    terminal.keys("3")
    terminal.shows("mine-a", "ended", "error loading model")
    model.write_bytes(bundled_model().read_bytes())
    terminal.keys("1", "S")
    terminal.shows("● DEPLOYED", "1/1")


def test_sighup_puts_the_terminal_right(terminal: Terminal) -> None:
    terminal.shows("enter launches")
    os.kill(terminal.console_pid(), signal.SIGHUP)
    terminal.shows("left with 0")


def curl(stoker: Stoker, key: str) -> str:
    """The status that curl gets for a short question."""
    (row,) = stoker.json("ps")
    body = '{"model": "smollm2", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}'
    config = f'header = "Authorization: Bearer {key}"\nheader = "Content-Type: application/json"\n'
    words = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-K", "-", "-d", body]
    done = subprocess.run(
        [*words, f"{row['url']}/chat/completions"], input=config, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_failure_is_mended_at_one_key(stoker: Stoker, terminal: Terminal) -> None:
    terminal.shows("Nothing is launched yet")
    stoker.run("launch", "smollm2", "--name", "tight", "--ctx", "8192", "--seqs", "4", "--memory", "640M")
    terminal.shows("✖ FAILED HOST_OOM", "f fix 1  context 8192 → ")
    terminal.keys("f")
    terminal.shows("Mend tight", "KV cache q8_0 and context")
    terminal.keys("1")
    terminal.shows("● DEPLOYED", "1/1")
    terminal.keys("Enter")
    terminal.shows("2 current", "context 8192 → ")
