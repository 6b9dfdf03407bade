"""Writes a spool while the disk takes less and less: `python -m tests.gateway.full_disk DIRECTORY`.

A limit on the size of files stands for the full disk, with the same torn writes; it holds for a whole process, hence
one of its own.
"""

import asyncio
import resource
import sys
from pathlib import Path

from app.gateway.request import Request
from app.gateway.spool import Spool

REQUESTS = 10


async def main(directory: Path) -> None:
    """Note the starts and ends of REQUESTS requests, half of them while nothing can be written."""
    spool = Spool(directory)
    for number in range(REQUESTS):
        if number == REQUESTS // 2:
            size = spool.path.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        request = Request("POST", "/v1/completions", [(b"x-request-id", b"r%d" % number)], "127.0.0.1")
        spool.start(request.id, request.start_line(1))
        request.status, request.attempt_id = 200, "attempt"
        spool.end(request.id, request.end_line())
        spool.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    spool.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
