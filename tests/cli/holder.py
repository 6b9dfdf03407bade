"""A process that holds a lock and announces facts, until SIGTERM: `python -m tests.cli.holder LOCK FACTS`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.processes import announce, take_lock

ROOT = Path(__file__).parents[2]


@contextmanager
def holding(lock: Path, **facts: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds `lock`, for the length of the block."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.cli.holder", str(lock), json.dumps(facts)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def hold(lock: Path, facts: dict[str, Any]) -> None:
    """Hold `lock` until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    descriptor = take_lock(lock)
    assert descriptor is not None
    announce(descriptor, {**facts, "pid": os.getpid()})
    print("held", flush=True)
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    hold(Path(sys.argv[1]), json.loads(sys.argv[2]))
