"""Engines as processes of this machine, one keeper each. An attempt is a directory; its keeper's lock says it lives.

Nothing is remembered here that a restart could lose: the directories say what runs, and whose it is.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import psutil

from backends.attempts import Attempt, Label, boot_id
from backends.base import (
    Backend,
    BackendRefused,
    Capabilities,
    CouldNotLook,
    HostFacts,
    InstanceSpec,
    Resource,
)
from backends.keeper import KEEPER
from backends.output import HEAD_BYTES, TAIL_BYTES

OWNER_VARIABLE = "STOKER_OWNER"
ATTEMPT_VARIABLE = "STOKER_ATTEMPT"
"""In the environment of an engine and all its children: whose they are, and the key of their attempt."""
ENDPOINT_VARIABLE = "STOKER_ENDPOINT_FILE"
"""Where an engine that picks its own port writes its base URL."""

SPAWN_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 2.0
_POLL_S = 0.01
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PACKAGES = Path(__file__).resolve().parent.parent
# What every program expects to find. All else is the spec's to give.
_BASICS = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
# `setproctitle` writes over its environment, which is how what an engine leaves behind is found, unless it is told.
_PINNED = {"SPT_NOENV": "1"}
_FOR_GOOD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR)


class ProcessBackend(Backend):
    """Attempts under `root`, of the installation `owner`. `head_bytes` and `tail_bytes` size the log of each."""

    capabilities = Capabilities(stop_frees="all", logs="directory", min_poll_s=0.2)

    def __init__(self, root: Path, owner: str, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._root = root.absolute()
        self._owner = owner
        self._sizes = {"head_bytes": head_bytes, "tail_bytes": tail_bytes}
        self._settled: set[str] = set()
        self._swept: set[str] = set()

    async def probe(self) -> HostFacts:
        return await asyncio.to_thread(_facts)

    async def create(self, spec: InstanceSpec, key: str) -> None:
        await asyncio.to_thread(self._create, spec, key)

    async def observe(self) -> tuple[Resource, ...]:
        return await asyncio.to_thread(self._observe)

    async def stop(self, key: str, grace_s: float) -> None:
        await asyncio.to_thread(self._stop, key, grace_s)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._delete, key)

    async def close(self) -> None:
        pass  # nothing stands between this machine and itself

    def _create(self, spec: InstanceSpec, key: str) -> None:
        if not _KEY.fullmatch(key):
            raise BackendRefused(f"{key!r:.80} cannot name an attempt")
        attempt = Attempt(self._root / key)
        try:
            attempt.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (label := attempt.label) is not None and label.owner != self._owner:
                raise BackendRefused(f"{key} belongs to another installation")
            lock = attempt.lock()
            if lock is None:
                return
            try:
                if not attempt.begun and not attempt.released:
                    attempt.prepare(spec)
                    self._start_keeper(attempt, spec, lock)
            finally:
                os.close(lock)
        except OSError as error:
            if error.errno in _FOR_GOOD:
                raise BackendRefused(f"{error.strerror}: {attempt.path}", error.errno) from error
            raise CouldNotLook(f"{key} could not be started: {error}") from error

    def _start_keeper(self, attempt: Attempt, spec: InstanceSpec, lock: int) -> None:
        """Hand the lock to a keeper. Killed anywhere in here, we leave a keeper that has all it needs, or none."""
        job = {
            "argv": spec.argv,
            "env": _environment(attempt, spec),
            "masked": list(spec.secrets.values()),
            "memory_limit": spec.memory_limit,
            "boot_id": boot_id(),
            **self._sizes,
        }
        stdin = _filled_pipe(json.dumps(job).encode())
        try:
            launcher = subprocess.Popen(
                [sys.executable, *KEEPER, str(_PACKAGES), str(attempt.path), str(lock)],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env={},
                start_new_session=True,
                umask=0o077,
                pass_fds=(lock,),
            )
        finally:
            os.close(stdin)
        with launcher:
            try:
                _, complaint = launcher.communicate(timeout=SPAWN_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                launcher.kill()
                raise CouldNotLook(f"the keeper of {attempt.key} did not start in {SPAWN_TIMEOUT_S:.0f} s") from error
        if launcher.returncode:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            raise CouldNotLook(f"the keeper of {attempt.key} did not start: {last}")

    def _observe(self) -> tuple[Resource, ...]:
        try:
            found = list(self._ours())
            ended = {attempt.key for attempt, _, alive in found if not alive}
            stubborn = sweep(self._owner, ended - self._swept)
            self._swept = ended - stubborn
            return tuple(attempt.resource(label, alive or attempt.key in stubborn) for attempt, label, alive in found)
        except OSError as error:
            raise CouldNotLook(f"the attempts cannot be read: {error}") from error

    def _ours(self) -> Iterator[tuple[Attempt, Label, bool]]:
        """Every attempt of this owner that has begun or lives, and whether it does."""
        with os.scandir(self._root) as scan:
            entries = {entry.name: entry for entry in scan}
        self._settled &= entries.keys()
        for name in entries.keys() - self._settled:
            attempt = Attempt(self._root / name)
            if not _mine(entries[name]) or attempt.released:
                self._settled.add(name)
            elif (label := attempt.label) is not None:
                if label.owner != self._owner:
                    self._settled.add(name)
                    continue
                # In this order: one that had begun and then does not live has ended. In the other it may just begin.
                begun = attempt.begun
                if (alive := attempt.alive()) or begun:
                    yield attempt, label, alive

    def _stop(self, key: str, grace_s: float) -> None:
        try:
            attempt = self._owned(key)
            if attempt is None or not attempt.alive():
                return
            # Without room on the disk for the wish, the signal alone ends it, after the keeper's own time of grace.
            with contextlib.suppress(OSError):
                attempt.write("stop", {"grace_s": grace_s})
            # A keeper that has not written its pid yet looks for the file after it has.
            if (pid := attempt.keeper_pid) is not None and str(attempt.path) in psutil.Process(pid).cmdline():
                os.kill(pid, signal.SIGTERM)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return
        except (psutil.Error, OSError) as error:
            raise CouldNotLook(f"{key} could not be asked to stop: {error}") from error

    def _delete(self, key: str) -> None:
        try:
            attempt = self._owned(key)
            if attempt is None:
                return
            if attempt.alive():
                raise BackendRefused(f"{key} still runs")
            (attempt.path / "released").touch(mode=0o600)
            self._settled.add(key)
        except OSError as error:
            raise CouldNotLook(f"{key} could not be released: {error}") from error

    def _owned(self, key: str) -> Attempt | None:
        if not _KEY.fullmatch(key):
            return None
        attempt = Attempt(self._root / key)
        label = attempt.label
        return attempt if label is not None and label.owner == self._owner else None


def sweep(owner: str, keys: AbstractSet[str]) -> set[str]:
    """Kill what is left of ended attempts: whatever still carries their key. Returns those that will not die.

    A keeper kills the group of its engine; this finds what has left the group, and all of it if the keeper was killed.
    """
    if not keys:
        return set()
    labelled = ((process, _attempt_of(process, owner)) for process in psutil.process_iter())
    left = {process: key for process, key in labelled if key in keys}
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while (left := {p: key for p, key in left.items() if _lives(p)}) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return set(left.values())


def _attempt_of(process: psutil.Process, owner: str) -> str:
    try:
        environment: dict[str, str] = process.environ()
    except (psutil.Error, OSError):
        return ""
    return environment.get(ATTEMPT_VARIABLE, "") if environment.get(OWNER_VARIABLE) == owner else ""


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _mine(entry: os.DirEntry[str]) -> bool:
    """Whether this is a directory of this user. A link is not followed: it may lead into somebody else's."""
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def _filled_pipe(data: bytes) -> int:
    """The reading end of a pipe that holds all of `data`, its writing end closed: what reads it waits for nobody."""
    read, write = os.pipe()
    try:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, len(data))
        os.set_blocking(write, False)
        if os.write(write, data) < len(data):
            raise BackendRefused(f"its command and environment are too large: {len(data)} bytes", errno.E2BIG)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    return read


def _environment(attempt: Attempt, spec: InstanceSpec) -> dict[str, str]:
    basics = {name: os.environ[name] for name in _BASICS if name in os.environ}
    labels = {OWNER_VARIABLE: spec.owner, ATTEMPT_VARIABLE: attempt.key}
    ours = {**labels, ENDPOINT_VARIABLE: str(attempt.path / "endpoint")}
    return basics | _PINNED | dict(spec.env) | dict(spec.secrets) | ours


def _facts() -> HostFacts:
    try:
        memory = psutil.virtual_memory()
    except (psutil.Error, OSError) as error:
        raise CouldNotLook(f"this machine's memory cannot be read: {error}") from error
    return HostFacts(platform.node(), memory.total, memory.available)
