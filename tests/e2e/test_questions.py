"""Commands on a terminal: what they ask before they destroy or restart, and how they are broken off."""

import os
import pty
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.migrate import schema_version
from app.version import __version__
from tests.cli.holder import holding
from tests.e2e.stoker import COMMAND, Stoker, installed

DEADLINE_S = 60.0


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, stoker: Stoker, *words: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(COMMAND, [COMMAND, *words], stoker.env | {"TERM": "xterm"})  # noqa: S606 # no shell is wanted
        self.shown = ""
        self._read_up_to = 0

    def expect(self, text: str) -> None:
        """Return once `text` has been shown, after whatever was expected before."""
        deadline = time.monotonic() + DEADLINE_S
        while (at := self.shown.find(text, self._read_up_to)) < 0:
            assert time.monotonic() < deadline, f"waited for {text!r}: {self.shown!r}"
            if select.select([self._fd], [], [], 0.5)[0]:
                self.shown += os.read(self._fd, 65_536).decode("utf-8", "replace")
        self._read_up_to = at + len(text)

    def type(self, text: str) -> None:
        """Type `text` as a person would."""
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Read to the end; the exit status."""
        while True:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:  # what Linux says when the other end is closed
                break
            if not data:
                break
            self.shown += data.decode("utf-8", "replace")
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_rm_names_what_it_destroys_and_asks(stoker: Stoker) -> None:
    stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1", "--wait")
    terminal = Terminal(stoker, "rm", "demo")
    terminal.expect("demo (DEPLOYED, SmolLM2-135M-Instruct): demo-a")
    terminal.expect("Remove demo? [y/N] ")
    terminal.type("\n")
    assert terminal.end() == 1
    assert "stays as it is" in terminal.shown
    assert stoker.json("ps")[0]["status"] == "DEPLOYED"


def test_ctrl_c_at_a_question_ends_with_130(stoker: Stoker) -> None:
    with holding(stoker.home.server_lock, version="0.0.1", schema=schema_version()):
        terminal = Terminal(stoker, "up")
        terminal.expect("Restart it? [Y/n] ")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.shown


def test_an_older_server_is_restarted_when_somebody_agrees(stoker: Stoker) -> None:
    with holding(stoker.home.server_lock, version="0.0.1", schema=schema_version()) as older:
        terminal = Terminal(stoker, "up")
        terminal.expect("has version 0.0.1")
        terminal.expect("Restart it? [Y/n] ")
        terminal.type("n\n")
        assert terminal.end() == 1
        assert "SERVER_OLDER" in terminal.shown
        terminal = Terminal(stoker, "up")
        terminal.expect("Restart it? [Y/n] ")
        terminal.type("\n")
        assert terminal.end() == 0
        assert older.wait(60) == 0
    status = stoker.json("status")
    assert (status["server"], status["version"]) == ("running", __version__)
