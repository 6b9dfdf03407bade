"""The keeper: one small process beside every local engine, which starts it, owns its output and witnesses its end.

Run as `KEEPER DIRECTORY LOCK` with a job as JSON on standard input. LOCK is the number of an inherited descriptor on
which the directory's flock is already held; it is never let go before the keeper ends, so the attempt is alive exactly
as long as the lock is held. Standard library only, and little of it: one of these stays in memory for every engine.

The job: `argv`; `env`, the whole environment, secrets included; `masked`, the values that no log may show;
`memory_limit` in bytes or null; `boot_id`; `head_bytes` and `tail_bytes`, the sizes of the log's segments.

The directory, all written here: `head.log`, `tail.1.log`, `tail.log`; `times`, pairs of little-endian u64 (offset in
the whole output, UTC microseconds), sorted; `record.json`; and at the end `exit.json`. `stop` is written by whoever
wants the engine to end, before it sends this process a SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import resource
import select
import signal
import sys
import time

from backends.masking import Masker
from backends.output import Directory, Output

TYPE_CHECKING = False  # as mypy knows it, without the memory that importing `typing` costs
if TYPE_CHECKING:
    from typing import Any, NoReturn

KEEPER = ("-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); from backends.keeper import main; main()")
"""Arguments of the interpreter that starts a keeper; the directory that holds our packages follows, then its own."""

GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL when the machine shuts down and nobody said how long."""
BEAT_S = 5.0
"""Seconds between two touches of the lock file, which date the end of a keeper that could not write it down."""

_DRAIN_S = 0.5
_EXIT_TRIES = 10
_EXIT_PAUSE_S = 0.5
_CHUNK = 65_536
_PR_SET_PDEATHSIG = 1
# A victim before its keeper, the server and whatever else runs here: it is what takes the memory.
_OOM_SCORE = b"500"


class Keeper:
    """One attempt, from the start of its engine to the record of its end."""

    def __init__(self, directory: Directory, lock: int, job: dict[str, Any]) -> None:
        self._directory = directory
        self._lock = lock
        self._job = job
        self._output = Output(directory, job["head_bytes"], job["tail_bytes"])
        self._masker = Masker([os.fsencode(value) for value in job["masked"]])
        self._facts: dict[str, Any] = {
            "pid": os.getpid(),
            "engine_pid": None,
            "engine_started": None,
            "boot_id": job["boot_id"],
            "started_at": time.time_ns() // 1_000,
        }
        self._saved: dict[str, Any] | None = None
        self._exit = Exit(directory)
        self._asked = self._told = False
        self._kill_at = math.inf
        self._oom_kills = oom_kills()

    def run(self) -> None:
        """Start the engine, attend it until it has ended, and write down how."""
        wake = self._listen()
        self._save()
        if self._directory.read_json("stop") is not None:
            return self._finish({"signal": int(signal.SIGTERM)})
        pipe, write = os.pipe()
        try:
            pid = start_engine(self._job, write)
        except OSError as error:
            return self._finish({"error": f"{error.strerror}: {self._job['argv'][0]}", "errno": error.errno})
        os.close(write)
        self._facts |= {"engine_pid": pid, "engine_started": started(pid)}
        self._save()
        code = self._attend(pid, pipe, wake)
        # The leader's pid is free now, but it stays the number of the group for as long as that has a member.
        send(pid, signal.SIGKILL)
        self._drain(pipe)
        unasked = code == -signal.SIGKILL and self._kill_at == math.inf
        oom = unasked and oom_kills() > self._oom_kills
        return self._finish({"code": code} if code >= 0 else {"signal": -code, "oom": oom})

    def give_up(self, error: Exception) -> None:
        """Leave word of a fault of our own. The engine dies with this process; its end counts as unwitnessed."""
        self._output.write(f"[stoker: the keeper failed: {error!r}]\n".encode())
        self._save()

    def _listen(self) -> int:
        """Hear of stops and of the engine's end by a descriptor; outlive the terminal and whoever sat at it."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return read

    def _ask(self, *_: object) -> None:
        self._asked = self._told = True

    def _attend(self, pid: int, pipe: int, wake: int) -> int:
        """Take the engine's output and the wishes for its end until it has ended; its exit code, or minus a signal."""
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(wake, select.POLLIN)
        beat_at = time.monotonic() + BEAT_S
        # A stop that came before there was a handler has left its file.
        self._asked = self._asked or self._directory.read_json("stop") is not None
        while True:
            if self._asked:
                self._end(pid)
            now = time.monotonic()
            if now >= self._kill_at:
                send(pid, signal.SIGKILL)
                self._kill_at = now + BEAT_S
            if now >= beat_at:
                beat_at = now + BEAT_S
                self._beat()
                continue
            for fd, _ in poll.poll(1_000 * max(0.0, min(beat_at, self._kill_at) - now)):
                if fd == wake:
                    os.read(wake, _CHUNK)
                elif not self._take(pipe):
                    poll.unregister(pipe)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)

    def _beat(self) -> None:
        """Show that we live; and if the directory was removed, end what nobody could find any more."""
        self._oom_kills = oom_kills()
        os.utime(self._lock)
        self._asked = self._asked or self._directory.gone

    def _end(self, pid: int) -> None:
        """Ask the engine to end; a later and more impatient wish moves its last moment forward."""
        self._asked = False
        wish = self._directory.read_json("stop")
        grace = wish.get("grace_s") if isinstance(wish, dict) else None
        grace = grace if isinstance(grace, int | float) else GRACE_S
        if self._kill_at == math.inf:
            send(pid, signal.SIGTERM)
        self._kill_at = min(self._kill_at, time.monotonic() + grace)

    def _take(self, pipe: int) -> bool:
        """Move what the engine has written to the log; False when nothing more can come."""
        data = os.read(pipe, _CHUNK)
        self._output.write(self._masker.feed(data))
        self._save()
        return bool(data)

    def _drain(self, pipe: int) -> None:
        """Take what is still in the pipe. Something that left the group may hold it open, so not for ever."""
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        deadline = time.monotonic() + _DRAIN_S
        while (left := deadline - time.monotonic()) > 0:
            if not poll.poll(1_000 * left) or not self._take(pipe):
                break
        self._output.write(self._masker.flush())

    def _save(self) -> None:
        """Bring `record.json` up to date, if the disk takes it."""
        record = {**self._facts, "segments": self._output.segments, "dropped": self._output.dropped}
        if record != self._saved and self._directory.write_json("record.json", record):
            self._saved = {**record, "segments": list(self._output.segments)}

    def _finish(self, how: dict[str, Any]) -> None:
        self._save()
        # A SIGTERM that nobody wished for is how a machine goes down.
        shutdown = self._told and self._directory.read_json("stop") is None
        dropped = self._output.dropped
        # Boot time too: a wall clock that was changed meanwhile must not change how long the engine ran.
        boot = time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000
        when = {"at": time.time_ns() // 1_000, "boot_us": boot}
        self._exit.write({**when, **how, "shutdown": shutdown, "dropped": dropped})


class Exit:
    """The file that says how it ended. Its room on the disk is taken at the start, when there is some."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._fd = -1
        self._open()

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            self._fd = self._directory.open("exit.partial", os.O_WRONLY | os.O_TRUNC)
            os.write(self._fd, b" " * 4_096)

    def write(self, data: dict[str, Any]) -> None:
        """Write it in one step. A disk that takes nothing for some seconds leaves the end untold."""
        text = json.dumps(data).encode()
        for _ in range(_EXIT_TRIES):
            with contextlib.suppress(OSError):
                if os.pwrite(self._fd, text, 0) == len(text):
                    os.ftruncate(self._fd, len(text))
                    return self._directory.rename("exit.partial", "exit.json")
            if self._directory.gone:
                return None
            time.sleep(_EXIT_PAUSE_S)
            if self._fd < 0:
                self._open()
        return None


def start_engine(job: dict[str, Any], output: int) -> int:
    """Start `job` with its output going to the descriptor `output`; the pid. Raises OSError when it cannot be run."""
    keeper = os.getpid()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become_engine(job, output, keeper)
        except BaseException as error:
            number = getattr(error, "errno", None) or errno.EINVAL
            text = getattr(error, "strerror", None) or str(error)
            os.write(write, f"{number} {text}".encode())
        finally:
            os._exit(127)
    os.close(write)
    failure = os.read(read, _CHUNK)
    os.close(read)
    if failure:
        os.waitpid(pid, 0)
        number, _, text = failure.decode().partition(" ")
        raise OSError(int(number), text)
    return pid


def become_engine(job: dict[str, Any], output: int, keeper: int) -> NoReturn:
    """Turn this child into the engine: a group of its own, nothing inherited but its output and its environment."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with contextlib.suppress(OSError):
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, _OOM_SCORE)
        os.close(score)
    die_with(keeper)
    if (limit := job["memory_limit"]) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.execvpe(job["argv"][0], job["argv"], job["env"])  # noqa: S606 - a list, and a shell is not wanted


def die_with(keeper: int) -> None:
    """Have the kernel kill this process when its parent, the keeper, ends; where a kernel can."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes  # here, in the child: it would cost the keeper 0.7 MB for as long as the engine runs

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != keeper:
        os._exit(127)


def send(group: int, number: int) -> None:
    """Send a signal to a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), `starttime`); None where nothing says so."""
    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        text = os.read(fd, 4_096)
        os.close(fd)
        return int(text.rpartition(b")")[2].split()[19])
    return None


def oom_kills() -> int:
    """How many processes this kernel has killed for want of memory (proc(5), `/proc/vmstat`); 0 where it says not."""
    with contextlib.suppress(OSError):
        fd = os.open("/proc/vmstat", os.O_RDONLY)
        found = re.search(rb"^oom_kill (\d+)$", os.read(fd, _CHUNK), re.MULTILINE)
        os.close(fd)
        return int(found[1]) if found else 0
    return 0


def main() -> None:
    """Leave whoever started this, who is told by exit status 0 that the attempt is now in good hands."""
    path, lock = sys.argv[2], int(sys.argv[3])
    os.set_inheritable(lock, False)
    job = json.loads(sys.stdin.buffer.read())
    directory = Directory(path)
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    keeper = Keeper(directory, lock, job)
    try:
        keeper.run()
    except Exception as error:
        keeper.give_up(error)
