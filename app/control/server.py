"""The server process: one at a time, for as long as it holds the lock; everything it starts outlives it."""

import asyncio
import json
import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from typing import Any

from app.boot import boot_id, boot_us
from app.control.loop import Controller
from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.processes import announce, daemon_environment, down_marker, is_ours, take_lock
from app.settings import Home, load_settings
from app.store.migrate import migrate, schema_version
from app.store.tables import Setting
from app.store.wishes import now_us
from app.store.write import LeaseLost, Store, acquire_lease
from app.version import __version__

LOOK_RIDE_OUT_S = 1.0
"""Somebody who only looks at the lock holds it for a moment; an auto-started server waits that long, no longer."""
FOR_EVER_S = float("inf")
LOG_BYTES = 10_000_000
HOME_CHECK_S = 2.0

log = logging.getLogger(__name__)


def serve(home: Home, *, wait: bool) -> int:
    """Run the server until SIGTERM or SIGINT; the exit status.

    If another server holds the lock: with `wait` take over when it ends, else exit at once. Without `wait` also exit
    if the server was taken down on purpose since this one was started. Raises STORE_NEWER and
    STORE_CORRUPT, and CONFIG_INVALID.
    """
    os.umask(0o077)
    home.make()
    lock = take_lock(home.server_lock, FOR_EVER_S if wait else LOOK_RIDE_OUT_S)
    if lock is None:
        return 0
    if wait:
        down_marker(home).unlink(missing_ok=True)
    elif down_marker(home).exists():
        os.close(lock)
        return 0
    _log_to(home, also_stderr=wait)
    try:
        _run(home, lock)
    except StokerError as error:
        log.error("%s: %s %s", error.code, error.message, error.remedy)
        if wait:
            raise
        return 1
    finally:
        os.close(lock)
    return 0


def _run(home: Home, lock: int) -> None:
    settings = load_settings(home)
    environment = daemon_environment(home)
    os.environ.clear()
    os.environ.update(environment)
    before = migrate(home.store, home.backups)
    if before and before < schema_version():
        log.info("migrated the store from schema %d to %d", before, schema_version())
    store = Store(home.store)
    epoch = acquire_lease(store, str(os.getpid()), boot_id(), boot_us())
    owner = _owner(store, epoch)
    facts: dict[str, Any] = {"pid": os.getpid(), "version": __version__, "schema": schema_version(), "since": now_us()}
    announce(lock, facts)
    log.info("serving, epoch %d", epoch)
    try:
        asyncio.run(_control(Controller(home, settings, store, epoch, owner), lock))
    except LeaseLost:
        log.error("another server has taken over; this one does nothing more")
    finally:
        store.close()


async def _control(controller: Controller, lock: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a closed terminal is no reason to stop
    watch = asyncio.create_task(_watch_home(controller.home, lock, stopping))
    try:
        await controller.run(stopping)
    finally:
        watch.cancel()


async def _watch_home(home: Home, lock: int, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        if not await asyncio.to_thread(is_ours, lock, home.server_lock):
            log.error("the home is gone; the server ends")
            stopping.set()
        await asyncio.sleep(HOME_CHECK_S)


def _owner(store: Store, epoch: int) -> str:
    """The id of this installation, made once: backends label with it what is ours."""
    with store.write(epoch) as session:
        row = session.get(Setting, "owner")
        if row is None:
            row = Setting(key="owner", value=json.dumps(ulid()))
            session.add(row)
        owner: str = json.loads(row.value)
        return owner


def _log_to(home: Home, *, also_stderr: bool) -> None:
    handlers: list[logging.Handler] = [RotatingFileHandler(home.server_log, maxBytes=LOG_BYTES, backupCount=1)]
    if also_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
