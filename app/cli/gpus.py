"""`gpus`: what GPUs there are, here and on every host, and who holds their memory."""

import shutil
import sqlite3
import sys
import time
from dataclasses import replace

import click

from app.cli.output import emit, note, say
from app.cli.params import json_option
from app.domain.failures import StokerError
from app.domain.gpus import HostFacts, HostLook, Ours, attribute
from app.render.hosts import gpu_documents, gpu_lines, trouble_line
from app.settings import Home, find_home, load_settings
from app.store import hosts as store
from app.store import read

_UNBOUNDED = 4_096
"""Characters of a line that no terminal has to hold."""


@click.command()
@click.option("--host", "only", help="Only this one; `local` is this machine.")
@json_option
def gpus(only: str | None, as_json: bool) -> int:
    """Show the GPUs of this machine and of every host: memory, load, errors, and who holds the memory.

    Looks now, everywhere at once. Hosts without a GPU are named on standard error; the exit status is 1 if one could
    not be asked.
    """
    from app.hosts.look import addresses, look_at_all

    home = find_home()
    known = addresses(load_settings(home))
    if only is not None and only not in known:
        raise StokerError("NOT_FOUND", f"There is no host `{only}`.", "List them: `stoker hosts ls`.")
    looks = look_at_all(home, {name: known[name] for name in known if only in (None, name)})
    ours, facts = _known(home)
    looks = {name: _completed(look, facts.get(name), ours.get(name, Ours())) for name, look in looks.items()}
    reserves = {name: found.reserves for name, found in facts.items()}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    if as_json:
        emit([d for name, look in looks.items() for d in gpu_documents(name, look, reserves.get(name, {}))])
    for name, look in looks.items():
        if not look.gpus:
            note(trouble_line(name, look))
        elif not as_json:
            say(*gpu_lines(name, look, reserves.get(name, {}), width))
    return 1 if any(look.code is not None for look in looks.values()) else 0


def _known(home: Home) -> tuple[dict[str, Ours], dict[str, HostFacts]]:
    """What only the store can tell: which processes are ours, and what the server has seen of each host."""

    def look(connection: sqlite3.Connection) -> tuple[dict[str, Ours], dict[str, HostFacts]]:
        return store.ours(connection), {each.name: each for each in store.hosts_with_promises(connection)}

    return read.read_or(home.store, look, ({}, {}))


def _completed(look: HostLook, facts: HostFacts | None, ours: Ours) -> HostLook:
    """The look with names for our own processes, and the errors that the driver told the server of, who listens."""
    heard = {gpu.uuid: gpu.xid for gpu in facts.look.gpus} if facts and _recent(facts) else {}
    gpus = tuple(replace(gpu, xid=heard.get(gpu.uuid)) if gpu.xid is None else gpu for gpu in look.gpus)
    return attribute(replace(look, gpus=gpus), ours)


def _recent(facts: HostFacts) -> bool:
    return facts.look.at > time.time_ns() // 1_000 - store.SLOTS * store.SLOT_US
