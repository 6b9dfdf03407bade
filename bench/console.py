"""What the console costs: its first paint beside a bare Textual app, and CPU and bytes a second in a real terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.store import tables
from app.store.write import Store
from bench.figures import figure, paired
from tests.screens.homes import add, empty_home
from tests.screens.support import Scribe

ROUNDS = 5
SECONDS = 10.0
MANY = 1_000
LINES_PER_SECOND = 50
LINE = (
    b"slot print_timing: id  0 | task 184 | prompt eval time =     133.98 ms /     7 tokens (   19.14 ms per token)\n"
)
BARE = (
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Bare(App):\n    def compose(self):\n        yield Static('painted')\nBare().run()"
)
STOKER = str(Path(sys.executable).with_name("stoker"))


class Terminal:
    """A program on a terminal of 120 by 40."""

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self.began = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**os.environ, "STOKER_HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.execve(command[0], list(command), env)  # noqa: S606 # a list, and no shell wanted
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What it writes in that time."""
        data, deadline = b"", time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                data += os.read(self.fd, 1 << 16)
        return data

    def until(self, text: bytes) -> float:
        """Seconds from its start until it has written `text`."""
        data = b""
        while text not in data:
            data += self.read(0.005)
        return time.perf_counter() - self.began

    def cost(self, seconds: float) -> tuple[float, float, int]:
        """CPU in percent of one core, bytes a second, and resident bytes, over that time."""
        process = psutil.Process(self.pid)
        before = sum(process.cpu_times()[:2])
        written = len(self.read(seconds))
        used = sum(process.cpu_times()[:2]) - before
        return used / seconds * 100, written / seconds, process.memory_info().rss

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def first_paint(home: Path) -> None:
    """From starting the program to its frame on the screen."""

    def timed(command: Sequence[str], text: bytes) -> float:
        terminal = Terminal(command, home)
        try:
            return terminal.until(text)
        finally:
            terminal.close()

    result = paired(lambda: timed([STOKER], b"fleet"), lambda: timed([sys.executable, "-c", BARE], b"painted"), ROUNDS)
    figure("console_first_paint", result["median"], "s", bare_textual=result["beside"], ratio=result["ratio"])


def running(name: str, home: Path, keys: str = "") -> None:
    """What the console costs while it shows `home`, on the screen that the keys lead to."""
    terminal = Terminal([STOKER], home)
    try:
        terminal.read(4.0)
        os.write(terminal.fd, keys.encode())
        terminal.read(2.0)
        cpu, written, rss = terminal.cost(SECONDS)
    finally:
        terminal.close()
    figure(f"console_{name}_cpu", cpu, "% of a core", bytes_per_second=round(written), rss_mb=round(rss / 1e6))


@contextmanager
def changing(home: Path, instances: Sequence[str]) -> Iterator[None]:
    """Every deployment of `home` changes once a second."""
    done = threading.Event()
    states = ("pending", "loading"), ("running", "serving")

    def change() -> None:
        store, turn = Store(home / "stoker.db"), 0
        while not done.wait(1.0):
            turn += 1
            with store.write() as session:
                for instance_id in instances:
                    row = session.get_one(tables.Instance, instance_id)
                    row.state, row.phase = states[turn % 2]
                    session.add(row)
        store.close()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def writing(log: Path) -> Iterator[None]:
    """Lines are written to a log, 50 a second, in five goes."""
    done = threading.Event()

    def write() -> None:
        with log.open("ab") as file:
            while not done.wait(0.2):
                file.write(LINE * (LINES_PER_SECOND // 5))
                file.flush()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def following(path: Path) -> None:
    """What the console costs while it follows a log."""
    with Scribe(path) as scribe:
        attempt = scribe.attempt(scribe.instance(scribe.deployment("chat")))
        log = scribe.log(attempt, LINE * 10_000) / "head.log"
    with writing(log):
        running("log_50_lines_a_second", path, "3")
    with writing(log):
        running("log_50_lines_a_second_not_shown", path, "31")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        add(empty_home(small), "chat", "running", "serving")
        first_paint(small)
        running("idle", small)
        fleet = empty_home(large)
        ids = [add(fleet, f"d{number:04}", "running", "serving") for number in range(MANY)]
        running("idle_with_1000", large)
        with changing(large, ids):
            running("1000_changing", large)
        following(Path(folder, "log"))
