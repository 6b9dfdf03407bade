"""The gateway's process: `python -I -m app.gateway`. Exits 0 at once if another one runs for the same home."""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import time
from functools import partial

import uvloop

from app import processes
from app.domain.failures import StokerError
from app.domain.plans import find_plan
from app.gateway.companion import Companion
from app.gateway.drainer import Drainer, Outbox, spool_files
from app.gateway.edge import Edge
from app.gateway.quota import Quota, playground_today
from app.gateway.server import EdgeServer, address, open_listener
from app.gateway.snapshot import Snapshot
from app.gateway.spool import Spool
from app.gateway.watcher import Watcher
from app.settings import EdgeSettings, Home, find_home, load_settings
from app.version import __version__

log = logging.getLogger(__name__)

FILES_WANTED = 8_192
"""A connection takes a descriptor on either side; the usual soft limit of 1,024 is less than the edge's own."""


def main() -> int:
    """Serve until told to stop; the exit status."""
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal is no reason to stop
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    home = find_home()
    home.make()
    lock = processes.take_lock(home.gateway_lock, wait_s=0.2)
    if lock is None:
        return 0
    try:
        everything = load_settings(home)
        settings, plan_name = everything.edge, everything.billing.plan
        plan = find_plan(plan_name, everything.plans)
        listener = open_listener(settings)
    except StokerError as error:
        print(f"stoker: {error}", file=sys.stderr)  # noqa: T201 # for whoever reads the log or started us by hand
        return 1
    _raise_file_limit()
    quota = Quota(plan_name, plan, playground_today(home) if plan.playground else 0)
    uvloop.run(serve(home, settings, quota, listener, lock))
    return 0


async def serve(home: Home, settings: EdgeSettings, quota: Quota, listener: socket.socket, lock: int) -> None:
    """Run the edge on `listener`, with its threads, and drain the spool at the end."""
    leftovers = spool_files(home.spool)
    spool, outbox = Spool(home.spool), Outbox()
    edge = Edge(settings, quota, spool, outbox)
    loop = asyncio.get_running_loop()

    def deliver(snapshot: Snapshot) -> None:
        loop.call_soon_threadsafe(edge.replace, snapshot)

    watcher, companion = Watcher(home, deliver), Companion(home, lock)
    drainer = Drainer(home.store, spool, leftovers, outbox)
    for thread in (watcher, drainer, companion):
        thread.start()
    await EdgeServer(edge, settings, listener, partial(_announce, lock, listener)).run_until_stopped()
    spool.flush()  # before the drainer's last look: the end of a request that was broken off may still be waiting
    await asyncio.gather(*(asyncio.to_thread(thread.stop) for thread in (companion, watcher, drainer)))
    spool.close()
    log.info("Stopped.")


def _announce(lock: int, listener: socket.socket) -> None:
    host, port, url = address(listener)
    facts = {"pid": os.getpid(), "url": url, "host": host, "port": port, "version": __version__}
    processes.announce(lock, facts | {"started_at": time.time_ns() // 1000})
    log.info("Listening on %s.", url)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
