"""Our own long-lived processes: who holds a lock, and how one is started detached with an explicit environment.

A process is alive when it holds the lock on its file. Process ids, zombies and reboots cannot lie about that.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.domain.failures import StokerError
from app.settings import Home, load_settings

SERVER_MODULE = "app.control"
GATEWAY_MODULE = "app.gateway"
START_TIMEOUT_S = 20.0
_POLL_S = 0.02

# What a daemon keeps of the environment it was started from: who it runs as, where its home is, how to find programs.
_KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "STOKER_HOME",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
)
_AGENT = "SSH_AUTH_SOCK"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def take_lock(path: Path, wait_s: float = 0.0) -> int | None:
    """Lock `path` for as long as the returned descriptor stays open; None if another process holds it.

    `wait_s` rides out the moment in which somebody else only looks whether the lock is held.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)  # what the holder before us announced is no longer true
            return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(_POLL_S)


def is_ours(fd: int, path: Path) -> bool:
    """Whether the file at `path` is still the one that `fd` has locked.

    If not, the home was deleted or moved away: whoever looks for the lock finds none, and a daemon that stayed would
    be started a second time beside itself.
    """
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116 # the pair of what fstat gives
    except FileNotFoundError:
        return False


def announce(fd: int, facts: Mapping[str, Any]) -> None:
    """Write what others may know of the lock's holder (pid, url, version) into the locked file."""
    data = json.dumps(facts).encode()
    os.pwrite(fd, data + b"\n", 0)
    os.ftruncate(fd, len(data) + 1)


def holder(path: Path) -> dict[str, Any] | None:
    """What the process that holds `path` announced; None when nobody holds it. Empty until it has announced."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        try:
            facts = json.loads(os.pread(fd, 65_536, 0) or b"{}")
        except ValueError:
            return {}
        return facts if isinstance(facts, dict) else {}
    finally:
        os.close(fd)


def end(path: Path, wait_s: float) -> bool:
    """Ask the process that holds `path` to end (SIGTERM), and wait for it; whether nobody holds it any more.

    The announced pid is only believed if that process has the file open, so that no stranger is ever signalled.
    """
    deadline = time.monotonic() + wait_s
    asked: set[int] = set()
    while (facts := holder(path)) is not None:
        pid = facts.get("pid")
        if isinstance(pid, int) and pid not in asked and _has_open(pid, path):
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _has_open(pid: int, path: Path) -> bool:
    import psutil

    try:
        return any(Path(file.path) == path.resolve() for file in psutil.Process(pid).open_files())
    except psutil.Error:
        return False


def daemon_environment(home: Home, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a daemon: what names its user and home, a plain PATH, a stable way to the user's SSH agent,
    and `[server.env]` of the config."""
    env = os.environ if environ is None else environ
    kept = {name: env[name] for name in _KEPT if name in env}
    return {"PATH": _PATH, _AGENT: str(agent_link(home)), **kept, **load_settings(home).server.env}


def agent_link(home: Home) -> Path:
    """Where a daemon finds the SSH agent of whoever used stoker last; it may lead nowhere."""
    return home.runtime / "agent"


def link_agent(home: Home, environ: Mapping[str, str] | None = None) -> None:
    """Have daemons use the SSH agent of this session from now on, if there is one: agents come and go with sessions."""
    agent = (os.environ if environ is None else environ).get(_AGENT)
    link = agent_link(home)
    if not agent or agent == str(link) or (link.is_symlink() and os.readlink(link) == agent):  # noqa: PTH115 # as it was written
        return
    with contextlib.suppress(OSError, StokerError):  # then hosts that need the agent say so
        partial = home.make_runtime() / f"agent.{os.getpid()}"
        partial.unlink(missing_ok=True)
        partial.symlink_to(agent)
        partial.replace(link)


def spawn(module: str, home: Home, log: Path) -> None:
    """Start `python -m module` in a session of its own, with cwd `/`, its output appended to `log`.

    Isolated mode, so that no `app/` of the directory the user stands in is imported in place of ours. The process is
    a grandchild: it belongs to nobody who could forget to reap it.
    """
    home.make()
    with log.open("ab") as out:
        log.chmod(0o600)
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-c", _DETACH, sys.executable, "-I", "-m", module],
            cwd="/",
            env=daemon_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            umask=0o077,
        )
        launcher.wait()


_DETACH = "import os, sys\nif os.fork() == 0: os.execv(sys.argv[1], sys.argv[1:])"


def down_marker(home: Home) -> Path:
    """The file that says the server was taken down on purpose, and is not to be started by itself."""
    return home.state / "server.down"


def ensure_server(home: Home, wait_s: float = START_TIMEOUT_S) -> dict[str, Any]:
    """Make sure that a server runs, starting one if not; what it announced. Raises SERVER_DOWN after `wait_s`."""
    down_marker(home).unlink(missing_ok=True)
    deadline = time.monotonic() + wait_s
    spawned = False
    while True:
        facts = holder(home.server_lock)
        if facts:
            return facts
        if facts is None and not spawned:
            spawn(SERVER_MODULE, home, home.server_log)
            spawned = True
        if time.monotonic() >= deadline:
            raise StokerError("SERVER_DOWN", f"The server did not start within {wait_s:.0f} s.")
        time.sleep(_POLL_S)
