"""The thread that sees to it that a server runs: nobody else may be there to notice that it was killed."""

import logging
import os
import signal
import threading
import time

from app import processes
from app.domain.failures import StokerError
from app.settings import Home

log = logging.getLogger(__name__)

LOOK_S = 2.0
BACK_OFF_S = 10.0
"""The least time between two starts, so that a server that dies at once does not keep the machine busy."""


class Companion(threading.Thread):
    """Starts a server when none holds the lock and none was taken down on purpose.

    Ends the gateway when `lock`, its own, is no longer the file at its place: then its home is gone.
    """

    def __init__(self, home: Home, lock: int) -> None:
        super().__init__(name="companion", daemon=True)
        self._home, self._lock = home, lock
        self._ended = threading.Event()

    def stop(self) -> None:
        """Let the thread end; returns when it has."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        started = float("-inf")
        while not self._ended.wait(LOOK_S):
            if not processes.is_ours(self._lock, self._home.gateway_lock):
                log.error("The home is gone; the gateway ends.")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if time.monotonic() - started < BACK_OFF_S or processes.down_marker(self._home).exists():
                continue
            if processes.holder(self._home.server_lock) is not None:
                continue
            started = time.monotonic()
            log.warning("No server runs; starting one.")
            try:
                processes.spawn(processes.SERVER_MODULE, self._home, self._home.server_log)
            except (OSError, StokerError) as error:
                log.error("The server cannot be started: %s", error)
