"""Whether this machine can run stoker, and what stands in the way: named checks of the whole installation."""

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from app.domain.choice import Machine
from app.domain.engines import Preset, compute_threads
from app.domain.failures import StokerError
from app.domain.fleet import process_state
from app.domain.hosts import LOCAL
from app.hosts.examine import TOOLKIT, driver, examine_all
from app.hosts.look import look_at_all
from app.launch.checks import Check, failed, from_error, passed
from app.launch.machine import installed, machine_of
from app.launch.models import BUNDLED, BUNDLED_NAME, locate
from app.launch.signatures import check_keys
from app.processes import holder
from app.settings import Home, ImageSettings, load_presets, load_settings
from app.store import read

_OLDEST = (3, 11)
_ROOM = 1_000_000_000
"""Free bytes below which a warning is due: the model, its logs and the store."""
_DEFAULT_PORT = 8400


def examine(home: Home) -> Iterator[Check]:
    """Every check, in an order in which a later one may depend on an earlier."""
    yield _python()
    yield _directory("state", home.state)
    if home.config != home.state:
        yield _directory("config", home.config)
    yield _disk(home)
    try:
        settings = load_settings(home)
        presets = load_presets(home)
    except StokerError as error:
        yield from_error("settings", error)
        return
    yield passed("settings", f"{len(presets)} engine{'s' * (len(presets) != 1)} known")
    yield _images(settings.images)
    yield _store(home)
    yield _process("server", holder(home.server_lock), "it starts when it is needed, or now: `stoker up`")
    gateway = holder(home.gateway_lock)
    yield _process("gateway", gateway, "the server starts it")
    if gateway is None:
        yield _port(settings.edge.host, settings.edge.port)
    machine = machine_of(None, home, presets)
    for preset in presets.values():
        if preset.module is not None:
            yield _engine(preset, machine)
    yield _model(home)
    yield passed("cpu", f"{os.cpu_count() or 1} cores, {compute_threads(os.cpu_count())} of them for an engine")
    yield from _gpus(home)


def examine_hosts(home: Home) -> Iterator[Check]:
    """A check for every host of the config, whose own are those of `stoker hosts test`. Blocking, seconds."""
    try:
        hosts = load_settings(home).hosts
    except StokerError:
        return  # `examine` says so
    yield from examine_all(home, {name: host.address for name, host in hosts.items()})


def _gpus(home: Home) -> Iterator[Check]:
    """Driver and GPUs of this machine; without any, engines compute on the CPU, and that is no failure."""
    look = look_at_all(home, {LOCAL: ""})[LOCAL]
    yield driver(look)
    if look.gpus:
        yield _toolkit()


def _toolkit() -> Check:
    """Whether containers here can be given GPUs; what runs as a process needs nothing for it."""
    if any(shutil.which(program) for program in TOOLKIT):
        return passed("toolkit", "the NVIDIA container toolkit is installed")
    text = "containers cannot be given GPUs: no NVIDIA container toolkit"
    return Check("toolkit", "warn", text, "GPU_ACCESS", "Install it, then `nvidia-ctk runtime configure`.")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _OLDEST:
        return passed("python", f"{version} at {sys.executable}")
    return failed("python", "ENTRYPOINT_MISSING", f"{version} is too old.", "Use Python 3.11 or newer.")


def _directory(name: str, path: Path) -> Check:
    nearest = next(p for p in (path, *path.parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        text = f"{path} cannot be written."
        return failed(name, "CONFIG_INVALID", text, "Give yourself the right to, or set STOKER_HOME.")
    if nearest == path and path.stat().st_mode & 0o077:
        return Check(name, "warn", f"{path} can be read by others", "CONFIG_INVALID", f"chmod 700 {path}")
    return passed(name, str(path))


def _disk(home: Home) -> Check:
    free = shutil.disk_usage(next(p for p in (home.state, *home.state.parents) if p.exists())).free
    text = f"{free / 1e9:,.1f} GB free"
    return passed("disk", text) if free >= _ROOM else Check("disk", "warn", text, "DISK_FULL", "Free some space.")


def _images(images: ImageSettings) -> Check:
    """The image policy, and whether the keys are there that it needs."""
    text = f"policy `{images.policy}`" + (f", allowed: {', '.join(images.allow)}" if images.allow else "")
    if images.policy != "signed":
        return passed("images", text)
    try:
        check_keys(images.keys)
    except StokerError as error:
        return from_error("images", error)
    return passed("images", f"{text} by {', '.join(images.keys)}")


def _store(home: Home) -> Check:
    if not home.store.exists():
        return passed("store", "none yet, made when the server starts")
    try:
        with read.reading(home.store) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            count = len(read.deployments(connection))
    except StokerError as error:
        return from_error("store", error)
    if verdict != "ok":
        return failed("store", "STORE_CORRUPT", str(verdict))
    return passed("store", f"sound, SQLite {sqlite3.sqlite_version}, {count} deployment{'s' * (count != 1)}")


def _process(name: str, facts: dict[str, object] | None, otherwise: str) -> Check:
    state = process_state(facts)
    if facts is None:
        return passed(name, f"not running; {otherwise}")
    about = ", ".join(f"{key} {facts[key]}" for key in ("pid", "version", "url") if key in facts)
    return passed(name, f"{state}, {about}" if about else state)


def _port(host: str, port: int) -> Check:
    number = port or _DEFAULT_PORT
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except OSError as error:
        text = f"{host}:{number} cannot be taken: {error.strerror or error}."
        if port == 0:
            return Check("port", "warn", text, "PORT_IN_USE", "The next free port is taken instead.")
        return failed("port", "PORT_IN_USE", text, "Set another `edge.port` in config.toml.")
    return passed("port", f"{host}:{number} is free")


def _engine(preset: Preset, machine: Machine) -> Check:
    if installed(preset):
        return passed(preset.name, "installed")
    meant = preset.needs.platforms
    if meant and machine.kind not in meant:
        return passed(preset.name, f"not installed, and made for {' and '.join(meant)}")
    remedy = f"Install it: `{preset.install}`." if preset.install else ""
    check = failed(preset.name, "ENTRYPOINT_MISSING", f"not installed: no module `{preset.module}`.", remedy)
    return replace(check, result="warn") if meant else check


def _model(home: Home) -> Check:
    path = locate(home)
    if path is None:
        return Check(
            "model", "warn", f"{BUNDLED_NAME} is not here, {BUNDLED.size / 1e6:.0f} MB to fetch at first launch"
        )
    return passed("model", f"{BUNDLED_NAME}, {path}")
