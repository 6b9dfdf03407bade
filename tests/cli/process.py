"""A command as a process of its own, for what only a process shows: signals, pipes, what is imported."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.settings import Home

COMMAND = [sys.executable, "-I", "-m", "app.cli"]


@contextmanager
def running(home: Home, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`stoker WORDS` on `home` for the length of the block; it is killed if it is still there at the end."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home.state), "STOKER_HOME": str(home.state), "LANG": "C.UTF-8"}
    with subprocess.Popen(
        [*COMMAND, *words],
        env=env | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line on stderr that says anything."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if line.strip():
            return line
    raise AssertionError("the command said nothing more")


def output(process: subprocess.Popen[str]) -> str:
    """What is left on stdout."""
    assert process.stdout is not None
    return process.stdout.read()
