"""The `[hosts.NAME]` tables of `config.toml`: added and taken out; all else stays as the owner of the file wrote it."""

import os
from contextlib import suppress
from pathlib import Path

import tomlkit
from tomlkit import TOMLDocument, table
from tomlkit.exceptions import TOMLKitError

from app.domain.failures import StokerError
from app.domain.hosts import check_host_name
from app.domain.money import format_amount
from app.settings import Home, HostSettings, load_settings


def check_new(home: Home, name: str) -> None:
    """Raises CONFIG_INVALID for what is no name of a host, and NAME_TAKEN for a host that there is."""
    try:
        check_host_name(name)
    except ValueError as error:
        raise StokerError("CONFIG_INVALID", str(error)) from error
    if name in load_settings(home).hosts:
        raise StokerError("NAME_TAKEN", f"There is a host `{name}` already.", f"Take it out: `stoker hosts rm {name}`.")


def add(home: Home, name: str, host: HostSettings) -> None:
    """Write the host `name` into the file. Raises what `check_new` raises, and CONFIG_INVALID for a broken file."""
    check_new(home, name)
    document = _read(home)
    hosts = document.setdefault("hosts", table(is_super_table=True))
    entry = table()
    entry["address"] = host.address
    if host.region:
        entry["region"] = host.region
    if host.tier:
        entry["tier"] = host.tier
    if host.price:
        entry["price"] = format_amount(host.price)
    hosts[name] = entry
    _write(home, document)


def remove(home: Home, name: str) -> None:
    """Take the host `name` out of the file. Raises CONFIG_INVALID, and NOT_FOUND if it is not there."""
    if name not in load_settings(home).hosts:
        raise StokerError("NOT_FOUND", f"There is no host `{name}`.", "List them: `stoker hosts ls`.")
    document = _read(home)
    del document["hosts"][name]
    if not document["hosts"]:
        del document["hosts"]
    _write(home, document)


def _path(home: Home) -> Path:
    return home.config / "config.toml"


def _read(home: Home) -> TOMLDocument:
    try:
        return tomlkit.parse(_path(home).read_text("utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, ValueError, TOMLKitError) as error:
        raise StokerError("CONFIG_INVALID", f"config.toml: {error}.") from error


def _write(home: Home, document: TOMLDocument) -> None:
    """Replace the file, whole or not at all; where it is a link, what it leads to."""
    home.make()
    path = Path(os.path.realpath(_path(home)))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(tomlkit.dumps(document))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
