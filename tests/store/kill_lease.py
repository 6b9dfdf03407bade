"""Servers that take the lease from each other and are killed: `python -m tests.store.kill_lease ROOT DEATHS`.

Four processes contend for the lock and the lease of `ROOT/stoker.db`. Whoever has them notes `acquired EPOCH` in
`ROOT/notes`, writes a few rows under its epoch, noting `acknowledged KEY` after each, and then does one of three
things: it is killed between two transactions; it is killed within one; or it lets go of the lock without noticing (as
a process that was stopped for too long), waits until another has the lease, and notes what came of its next write.
A process of its own, because it forks.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from app.processes import take_lock
from app.store.read import lease, reading
from app.store.tables import Setting
from app.store.write import LeaseLost, Store, acquire_lease

CONTENDERS = 4
ROWS = 3
PATIENCE_S = 60.0


def main(root: Path, deaths: int) -> None:
    """Replace every process that dies, until `deaths` were started; then take the lease over until the last is dead."""
    fates = itertools.cycle(["between", "within", "zombie"])
    started = 0
    children = set[int]()
    while started < deaths or children:
        while started < deaths and len(children) < CONTENDERS:
            children.add(_start(root, next(fates)))
            started += 1
        child, status = os.waitpid(-1, 0 if started < deaths else os.WNOHANG)
        if child:
            children.discard(child)
            if not os.WIFSIGNALED(status):
                raise SystemExit(f"a process ended by itself: {status}")
        elif (lock := take_lock(root / "lock", 0.1)) is not None:
            _note(root, f"acquired {acquire_lease(Store(root / 'stoker.db'), 'the last', 'boot', 1)}")
            os.close(lock)
            time.sleep(0.05)  # leave it to the others


def _start(root: Path, fate: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            _serve(root, fate)
        finally:
            os._exit(1)
    return child


def _serve(root: Path, fate: str) -> NoReturn:
    store = Store(root / "stoker.db")
    lock = take_lock(root / "lock", PATIENCE_S)
    if lock is None:
        raise SystemExit("the lock was never free")
    epoch = acquire_lease(store, str(os.getpid()), "boot", 1)
    _note(root, f"acquired {epoch}")
    for i in range(ROWS):
        _put(store, epoch, f"{epoch}-{i}")
        _note(root, f"acknowledged {epoch}-{i}")
    if fate == "within":
        with store.write(epoch) as session:
            session.add(Setting(key=f"{epoch}-unfinished", value="1"))
            session.flush()
            _die()
    if fate == "zombie":
        os.close(lock)
        _outlive(root, epoch)
        try:
            _put(store, epoch, f"{epoch}-late")
        except LeaseLost:
            _note(root, f"refused {epoch}")
    _die()


def _outlive(root: Path, epoch: int) -> None:
    """Wait until another process has the lease."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with reading(root / "stoker.db") as connection:
            row = lease(connection)
        if row is not None and row["epoch"] > epoch:
            return
        time.sleep(0.005)
    raise SystemExit("nobody took the lease over")


def _put(store: Store, epoch: int, key: str) -> None:
    with store.write(epoch) as session:
        session.add(Setting(key=key, value="1"))


def _note(root: Path, line: str) -> None:
    notes = os.open(root / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(notes, f"{line}\n".encode())
    os.close(notes)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
