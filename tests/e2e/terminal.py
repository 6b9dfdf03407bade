"""A real terminal: tmux with a server of its own, keys sent to it, and what it shows read back."""

import os
import re
import shutil
import subprocess

import psutil
import pytest

from tests.control.support import wait_for
from tests.e2e.stoker import COMMAND, Stoker

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """`stoker` in a tmux pane of `columns` by `rows`, on the home of an installation."""

    def __init__(
        self, stoker: Stoker, columns: int = 110, rows: int = 28, words: str = "", env: dict[str, str] | None = None
    ) -> None:
        self._socket = str(stoker.home.state / "tmux")
        self._env = {**stoker.env, "COLORTERM": "truecolor", "TERM": "xterm-256color", **(env or {})}
        self._size = ["-x", str(columns), "-y", str(rows)]
        self._words = words
        self.open()

    def open(self) -> None:
        """Open the console, in a new pane if there was one."""
        settings = [word for name, value in self._env.items() for word in ("-e", f"{name}={value}")]
        shell = f"{COMMAND} {self._words}; echo left with $?; exec cat"
        self._tmux("new-session", "-d", "-s", "console", *self._size, *settings, shell)

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux("send-keys", "-t", "console", *keys)

    def type(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-t", "console", "-l", text)

    def text(self) -> str:
        """What the terminal shows."""
        return self._tmux("capture-pane", "-p", "-t", "console")

    def shows(self, *texts: str) -> None:
        """Wait until the terminal shows all of these at once."""
        try:
            wait_for(lambda: self._has(texts), "it")
        except AssertionError:
            raise AssertionError(f"waited for {texts}, last seen:\n{self.text()}") from None

    def _has(self, texts: tuple[str, ...]) -> bool:
        shown = self.text()
        return all(text in shown for text in texts)

    def finds(self, pattern: str) -> str:
        """Wait until the terminal shows something that matches, and return it."""
        found: list[str] = []

        def look() -> bool:
            found[:] = re.findall(pattern, self.text())
            return bool(found)

        wait_for(look, pattern)
        return found[0]

    def console_pid(self) -> int:
        """The process of the console itself."""
        shell = self._tmux("display-message", "-p", "-t", "console", "#{pane_pid}").strip()
        found = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout.split()
        return int(found[0])

    def close(self) -> None:
        """Close the terminal, as by its window's button; return when it is gone, so that another can be opened."""
        server = self._tmux("display-message", "-p", "#{pid}", check=False).strip()
        self._tmux("kill-server", check=False)
        wait_for(lambda: not server or not psutil.pid_exists(int(server)), "tmux to end")

    def _tmux(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", os.devnull, *words],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=check,
        )
        return done.stdout
