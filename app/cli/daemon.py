"""`up`, `down`, `status`, `serve`: the server and the gateway themselves."""

import contextlib
import os
import sys
import time
from typing import Any

import click

from app.cli.output import emit, note, say
from app.cli.params import json_option
from app.cli.server import END_WITHIN_S, require_server, writing
from app.domain.failures import StokerError
from app.processes import down_marker, end, holder
from app.reach import require_gateway
from app.render.status import document, status_lines
from app.settings import Home, find_home
from app.store import read

_SHUTDOWN_WITHIN_US = 3_600_000_000
_POLL_S = 0.25


@click.command()
@click.option("--systemd", is_flag=True, help="Print a unit for systemd instead.")
@json_option
def up(systemd: bool, as_json: bool) -> None:
    """Start the server and the gateway; return when both answer."""
    home = find_home()
    if systemd:
        say(*_unit(home))
        return
    require_server(home)
    require_gateway(home)
    _show(home, as_json)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Stop every instance and the gateway too.")
@json_option
def down(everything: bool, as_json: bool) -> None:
    """Stop the server. Instances and gateway keep running, and requests are served, unless --all is given.

    The server stays down until something is asked of it.
    """
    home = find_home()
    if everything and _anything_to_stop(home):
        _shut_down(home)
    if home.state.exists():
        down_marker(home).touch(mode=0o600)
    _end(home, "server")
    if everything:
        _end(home, "gateway")
    _show(home, as_json)


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether the server and the gateway run, and where the store is."""
    _show(find_home(), as_json)


@click.command()
def serve() -> int:
    """Run the server in the foreground; waits for its turn if one runs already."""
    from app.control.server import serve as run

    return run(find_home(), wait=True)


def _show(home: Home, as_json: bool) -> None:
    facts = document(holder(home.server_lock), holder(home.gateway_lock), str(home.store))
    if as_json:
        emit(facts)
    else:
        say(*status_lines(facts, time.time_ns() // 1_000))


def _end(home: Home, name: str) -> None:
    lock = home.server_lock if name == "server" else home.gateway_lock
    facts = holder(lock)
    if not end(lock, END_WITHIN_S):
        pid = (facts or {}).get("pid", "unknown")
        text = f"The {name} (pid {pid}) has not ended within {END_WITHIN_S:.0f} s."
        raise StokerError("SERVER_DOWN", text, f"Look at `stoker logs @{name}`, or end it by hand.")


def _anything_to_stop(home: Home) -> bool:
    """Whether an instance may be up, or a server that could start one; else none is started only to be ended."""
    if holder(home.server_lock) is not None:
        return True
    try:
        with read.reading(home.store) as connection:
            found = read.deployments(connection)
    except StokerError as error:
        if error.code == "NOT_FOUND":
            return False
        raise
    return any(i.attempt is not None and i.attempt.ended_at is None for d in found for i in d.instances)


def _shut_down(home: Home) -> None:
    """Have the server stop every instance; deployments keep their wish."""
    from app.store import jobs

    require_server(home)
    with contextlib.suppress(StokerError):
        require_gateway(home)  # one that is still on its way could not be ended afterwards
    with writing(home) as session:
        job_id = jobs.submit(session, "shutdown", {}, _SHUTDOWN_WITHIN_US)
    left: Any = None
    while True:
        with read.reading(home.store) as connection:
            job = jobs.get(connection, job_id)
        if job.state not in ("queued", "running"):
            break
        if job.progress.get("running", left) != left:
            left = job.progress["running"]
            note(f"stopping, {left} instance{'s' * (left != 1)} left")
        time.sleep(_POLL_S)
    if job.state == "failed" and job.error:
        raise StokerError(job.error["code"], job.error["message"], job.error["remedy"])


def _unit(home: Home) -> list[str]:
    kept = {
        name: os.environ[name] for name in ("STOKER_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME") if name in os.environ
    }
    return [
        "# ~/.config/systemd/user/stoker.service, then: systemctl --user enable --now stoker",
        "[Unit]",
        "Description=stoker: language-model endpoints",
        "After=network-online.target",
        "",
        "[Service]",
        f'ExecStart="{sys.executable}" -I -m app.cli serve',
        *(f'Environment="{name}={value}"' for name, value in kept.items()),
        "# Instances and gateway outlive the server, and the next one adopts them.",
        "KillMode=process",
        "Restart=on-failure",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
