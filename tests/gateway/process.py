"""The real gateway, as a process of its own, on a home of the test's making."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from app import processes
from app.settings import Home

T = TypeVar("T")

DEADLINE_S = 60.0


def wait_for(what: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """The first truthy value of `what`. Fails when there is none before the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        if value := what():
            return value
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)


class Gateway:
    """`python -I -m app.gateway` for one home. The test holds the server's lock, so that no server is started."""

    def __init__(self, home: Home, config: str = "", hold_server_lock: bool = True) -> None:
        self.home = home
        tomllib.loads(config)
        (home.config / "config.toml").write_text(config)
        self._lock = processes.take_lock(home.server_lock) if hold_server_lock else None
        self.url = ""
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it (again), and wait until it listens."""
        with self.home.gateway_log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "app.gateway"],
                env={"PATH": os.environ["PATH"], "STOKER_HOME": str(self.home.state)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        facts = wait_for(self._announced)
        self.url = str(facts["url"])
        return self.process

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self, deadline_s: float = DEADLINE_S) -> int:
        """Tell it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline_s)

    def close(self) -> None:
        """Make sure that nothing is left."""
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        if self.process.poll() is None:
            self.kill()
        if self._lock is not None:
            os.close(self._lock)

    def log(self) -> str:
        """What it has written."""
        return self.home.gateway_log.read_text()

    def _announced(self) -> dict[str, object] | None:
        assert self.process.poll() is None, self.log()
        facts = processes.holder(self.home.gateway_lock)
        return facts if facts and facts.get("pid") == self.process.pid else None
