"""`hosts`: the machines that stoker may use besides this one."""

import sqlite3
import time
from typing import TYPE_CHECKING

import click

from app.cli.lazy import LazyGroup
from app.cli.output import emit, note, say
from app.cli.params import PRICE, json_option
from app.domain.failures import StokerError
from app.domain.gpus import HostFacts
from app.domain.hosts import LOCAL, parse_address
from app.domain.money import Micro
from app.domain.stock import Stock
from app.render.checks import check_lines
from app.render.hosts import host_document, host_table
from app.settings import Home, HostSettings, find_home, load_settings
from app.store import hosts as store
from app.store import read

if TYPE_CHECKING:
    from app.launch.checks import Check


@click.group(
    cls=LazyGroup,
    table={
        "add": ("app.cli.hosts:add", "Add a host to the config, after a test."),
        "ls": ("app.cli.hosts:ls", "List hosts and how they are."),
        "test": ("app.cli.hosts:test", "Say what is wrong with a host."),
        "rm": ("app.cli.hosts:rm", "Take a host out of the config."),
    },
)
def hosts() -> None:
    """The machines beside this one: `config.toml` names them, SSH reaches them, nothing is installed there."""


@click.command()
@click.argument("address")
@click.option("--name", required=True, help="What it is called here.")
@click.option("--region", default="", help="Where it is, in your own words.")
@click.option("--tier", default="", help="What kind of capacity it is, in your own words.")
@click.option("--price", type=PRICE, default="0", help="What one GPU costs for an hour: 0.60.")
@click.option("--force", is_flag=True, help="Add it even if it cannot be reached now.")
@json_option
def add(address: str, name: str, region: str, tier: str, price: int, force: bool, as_json: bool) -> int:
    """Add a host: `[USER@]HOST[:PORT]` or a name of your ~/.ssh/config; a Docker daemon by tcp:// or context://.

    It is tested first, and not added if SSH does not reach it.
    """
    from app.hosts import config

    try:
        settings = HostSettings(str(parse_address(address)), region, tier, Micro(price))
    except ValueError as error:
        raise StokerError("CONFIG_INVALID", str(error)) from error
    home = find_home()
    config.check_new(home, name)
    checks = _examine(home, settings.address)
    unreached = next((check for check in checks if check.name == "ssh" and check.result == "fail"), None)
    if unreached is not None and not force:
        raise unreached.error()
    config.add(home, name, settings)
    _show(name, checks, as_json)
    if not as_json:
        say(f"{name} is added.")
    return 0


@click.command()
@json_option
def ls(as_json: bool) -> None:
    """List this machine and the hosts of the config, with what the server saw of them last."""
    home = find_home()
    configured = {LOCAL: None, **load_settings(home).hosts}
    facts, stocks = _known(home)
    documents = [host_document(n, _about(host), facts.get(n), stocks.get(n)) for n, host in configured.items()]
    if as_json:
        emit(documents)
        return
    say(*host_table(documents, time.time_ns() // 1_000))
    if not facts:
        say("Nobody has looked yet: the server does, a moment after `stoker up`.")
    if len(configured) == 1:
        say("Add another: `stoker hosts add USER@HOST --name NAME`. It is reached by SSH, nothing is installed there.")


@click.command()
@click.argument("name")
@json_option
def test(name: str, as_json: bool) -> int:
    """Test a host: SSH, driver and GPUs, Docker, container toolkit. Exit 1 if anything fails."""
    home = find_home()
    found = load_settings(home).hosts.get(name)
    if found is None:
        raise StokerError("NOT_FOUND", f"There is no host `{name}`.", "List them: `stoker hosts ls`.")
    checks = _examine(home, found.address)
    _show(name, checks, as_json)
    return 1 if any(check.result == "fail" for check in checks) else 0


@click.command()
@click.argument("name")
@json_option
def rm(name: str, as_json: bool) -> None:
    """Take a host out of the config. What runs there is left as it is."""
    from app.hosts import config

    config.remove(find_home(), name)
    if as_json:
        emit({"name": name})
    else:
        note(f"{name} is taken out.")


def _examine(home: Home, address: str) -> "list[Check]":
    from app.hosts.examine import examine

    return list(examine(home, address))


def _show(name: str, checks: "list[Check]", as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": c.name, "result": c.result, "code": c.code, "detail": c.detail, "remedy": c.remedy} for c in checks
        ]
        emit({"name": name, "ok": all(c.result != "fail" for c in checks), "checks": rows})
    else:
        say(*check_lines(checks, codes=True))


def _about(host: HostSettings | None) -> dict[str, object]:
    if host is None:
        return {"address": "", "region": "", "tier": "", "price_per_hour_micro": 0}
    return {
        "address": host.address,
        "region": host.region,
        "tier": host.tier,
        "price_per_hour_micro": int(host.price),
    }


def _known(home: Home) -> tuple[dict[str, HostFacts], dict[str, Stock]]:
    """What the server has seen of each host, and of what it has in store."""

    def look(connection: sqlite3.Connection) -> tuple[dict[str, HostFacts], dict[str, Stock]]:
        return {each.name: each for each in store.hosts_with_promises(connection)}, store.stocks(connection)

    return read.read_or(home.store, look, ({}, {}))
