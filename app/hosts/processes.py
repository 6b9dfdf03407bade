"""Who a process of this machine is: its user, command and container, and the processes above it."""

import re
from pathlib import Path
from typing import Any

from app.domain.gpus import Holder, shown_command
from app.domain.text import clean_text

LONGEST = 300
"""Characters of a command line, or of a name, that are kept."""
_CONTAINER = re.compile(r"[/:-]([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?(?:[/:\s]|$)")


def describe(pid: int, held: int | None) -> Holder:
    """The process `pid` that holds `held` bytes; what this user may not know of it is left open."""
    import psutil

    try:
        process = psutil.Process(pid)
    except (psutil.Error, ValueError):
        return Holder(pid, held)
    words = _ask(process.cmdline) or []
    began = _ask(process.create_time)
    return Holder(
        pid=pid,
        bytes=held,
        user=clean_text(_ask(process.username) or "", LONGEST) or None,
        command=clean_text(shown_command(words) or _ask(process.name) or "", LONGEST),
        container=container_of(_cgroup(pid)),
        since=None if began is None else int(began * 1_000_000),
        parents=tuple(parent.pid for parent in _ask(process.parents) or ()),
    )


def container_of(cgroup: str) -> str | None:
    """The short id of the container that a control group belongs to: as Docker, containerd and Podman name them."""
    match = _CONTAINER.search(cgroup)
    return match[1] if match else None


def _cgroup(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace")
    except OSError:
        return ""


def _ask(question: Any) -> Any:
    import psutil

    try:
        return question()
    except (psutil.Error, OSError):
        return None
