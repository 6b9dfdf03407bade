"""A process 1 that never reaps, as in a careless container: adopts a keeper, lets it end, and says what it saw.

`python unreaping.py ROOT` prints one JSON object. A process of its own, because what is inherited is its zombies.
"""

import asyncio
import ctypes
import json
import sys
import time
from pathlib import Path

import psutil

from backends.attempts import Attempt
from backends.base import InstanceSpec
from backends.process import ProcessBackend
from tests.contract.harness import OWNER

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run one short attempt."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    root = Path(sys.argv[1])
    backend = ProcessBackend(root, OWNER)
    argv = (sys.executable, "-c", "raise SystemExit(4)")
    asyncio.run(backend.create(InstanceSpec(OWNER, "d", "i", 1, "m", "e", argv, str(root / "a1")), "a1"))
    deadline = time.monotonic() + 30
    while (seen := asyncio.run(backend.observe())) and seen[0].presence == "alive" and time.monotonic() < deadline:
        time.sleep(0.02)
    code = seen[0].exit.code if seen[0].exit else None
    keeper = psutil.Process(Attempt(root / "a1").keeper_pid)
    print(json.dumps({"presence": seen[0].presence, "code": code, "keeper": keeper.status()}))


if __name__ == "__main__":
    main()
