"""An attempt's directory as everybody but its keeper sees it: whose it is, whether it lives, how it ended.

The keeper holds the directory's lock for as long as it lives, so a lock that can be had means that nothing runs. What
is read here may be damaged (a full disk, a power cut) and may come from the engine; neither is believed further than
it makes sense.
"""

import errno
import fcntl
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from backends.base import Exit, InstanceSpec, Resource

_FILE_LIMIT = 1_000_000
_ENDPOINT_LIMIT = 256
_ENDPOINT = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}")
# Looking whether the lock is held takes it for a moment; nobody of this process may mistake that moment for a keeper.
_probing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Label:
    """Whose an attempt is, from its `spec.json`. `created_at` is UTC microseconds, `boot_id` the boot it began in."""

    owner: str
    deployment: str
    instance: str
    epoch: int
    created_at: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One directory of the attempts' root. Raises OSError where the disk cannot be asked, never for what it says."""

    path: Path

    @property
    def key(self) -> str:
        return self.path.name

    @property
    def released(self) -> bool:
        """Whether it was let go of, for good."""
        return (self.path / "released").exists()

    @property
    def begun(self) -> bool:
        """Whether a keeper has ever been in charge; the directory is then spent."""
        return (self.path / "record.json").exists() or (self.path / "exit.json").exists()

    @property
    def label(self) -> Label | None:
        """Whose it is; None when nobody has said so, or not in a way that can be read."""
        data = read_json(self.path / "spec.json")
        texts = [data.get(name) for name in ("owner", "deployment", "instance", "boot_id")]
        epoch, created_at = _whole(data, "epoch"), _whole(data, "created_at")
        if epoch is None or created_at is None or not all(isinstance(text, str) for text in texts):
            return None
        owner, deployment, instance, boot = (str(text) for text in texts)
        return Label(owner, deployment, instance, epoch, created_at, boot)

    @property
    def keeper_pid(self) -> int | None:
        """The process that keeps it, if it has got as far as to write that down."""
        return _whole(read_json(self.path / "record.json"), "pid")

    def prepare(self, spec: InstanceSpec) -> None:
        """Write the label, so that it survives a power cut: what runs afterwards is ours and is known to be."""
        label = {
            "owner": spec.owner,
            "deployment": spec.deployment,
            "instance": spec.instance,
            "epoch": spec.epoch,
            "key": self.key,
            "model": spec.model,
            "engine": spec.engine,
            "argv": spec.argv,
            "env": sorted({*spec.env, *spec.secrets}),
            "memory_limit": spec.memory_limit,
            "created_at": time.time_ns() // 1_000,
            "boot_id": boot_id(),
        }
        self.write("spec.json", label, durable=True)

    def write(self, name: str, data: dict[str, Any], durable: bool = False) -> None:
        """Replace the file `name` in one step."""
        partial = self.path / f"{name}.partial"
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            json.dump(data, file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(self.path / name)

    def lock(self) -> int | None:
        """The lock's descriptor, held until it is closed everywhere; None when a keeper holds it."""
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _probing:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def alive(self) -> bool:
        """Whether a keeper holds the lock, or is just being given it."""
        try:
            fd = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            with _probing:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.flock(fd, fcntl.LOCK_UN)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    def resource(self, label: Label, alive: bool) -> Resource:
        """What there is to report. An attempt that is not alive must have begun."""
        record = read_json(self.path / "record.json")
        return Resource(
            key=self.key,
            deployment=label.deployment,
            instance=label.instance,
            epoch=label.epoch,
            presence="alive" if alive else "exited",
            started_at=_whole(record, "started_at") or label.created_at,
            pid=_whole(record, "engine_pid") if alive else None,
            endpoint=self._endpoint() if alive else None,
            exit=None if alive else self._exit(label, record),
        )

    def _endpoint(self) -> str | None:
        """The address that the engine says it listens on, if that is one on loopback."""
        try:
            with (self.path / "endpoint").open("rb") as file:
                text = file.read(_ENDPOINT_LIMIT).decode("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if _ENDPOINT.fullmatch(text) else None

    def _exit(self, label: Label, record: dict[str, Any]) -> Exit:
        data = read_json(self.path / "exit.json")
        at = _whole(data, "at")
        if at is None:
            return self._lost(label, record)
        error = data.get("error")
        return Exit(
            at=at,
            code=_whole(data, "code"),
            signal=_whole(data, "signal"),
            oom=data.get("oom") is True,
            lost=data.get("lost") is True,
            rebooted=data.get("rebooted") is True or (data.get("shutdown") is True and label.boot_id != boot_id()),
            boot_us=_whole(data, "boot_us"),
            error=error if isinstance(error, str) else None,
            errno=_whole(data, "errno"),
        )

    def _lost(self, label: Label, record: dict[str, Any]) -> Exit:
        """An end that nobody wrote down, dated by the last sign of life and written down now."""
        now = boot_id()
        rebooted = record.get("boot_id", label.boot_id) != now or label.boot_id != now
        with os.scandir(self.path) as files:
            at = max(file.stat(follow_symlinks=False).st_mtime_ns for file in files) // 1_000
        try:
            self.write("exit.json", {"at": at, "lost": True, "rebooted": rebooted})
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
        return Exit(at=at, lost=True, rebooted=rebooted)


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file; empty when there is none, or no sense in it."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_FILE_LIMIT))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _whole(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@cache
def boot_id() -> str:
    """A name for this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"
