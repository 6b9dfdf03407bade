"""The bill of a real engine whose server is killed meanwhile: the same story on every backend that has real engines."""

import json
import os
import signal
from functools import partial
from itertools import pairwise
from typing import Any

from app.domain.money import HOUR_US, MICRO
from app.store import read
from tests.control.support import wait_for
from tests.e2e.stoker import Stoker


def billing(stoker: Stoker, **settings: str) -> None:
    """Write `[billing]` into the config, behind what is there."""
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    with stoker.home.state.joinpath("config.toml").open("a") as file:
        file.write("\n".join(["[billing]", *lines, ""]))


def charges(stoker: Stoker) -> list[dict[str, Any]]:
    """Every charge, the oldest first."""
    found: list[dict[str, Any]] = stoker.json("ledger", "--kind", "charge", "--last", "1000")
    return found


def kill_server(stoker: Stoker) -> None:
    """Kill the server, and wait until the next one serves."""
    server = stoker.pid("server")
    os.kill(server, signal.SIGKILL)
    wait_for(partial(_is_another, stoker, server), "another server")
    wait_for(lambda: stoker.json("status")["server"] == "running", "the server to serve")


def is_billed_to_the_microsecond(stoker: Stoker, *words: str) -> None:
    """Launch at a price with these options, talk, kill the server twice, stop: the bill is what the backend's own times
    come to."""
    billing(stoker, hour="7200.50")
    refused = stoker.run("launch", "smollm2", "--name", "demo", *words, check=False)
    assert "BILLING_BELOW_MINIMUM: An hour costs 7200.50 USD, 7200.50 is missing" in refused.stderr
    stoker.run("topup", "20000")
    stoker.launch("demo", *words)
    engine = _engine(stoker)
    for _ in range(2):
        assert stoker.answers()
        kill_server(stoker)
    assert _engine(stoker) == engine
    stoker.run("stop", "demo", "--wait")
    with read.reading(stoker.home.store) as connection:
        (attempt,) = connection.execute("SELECT * FROM attempts").fetchall()
    told = json.loads((stoker.home.attempts / attempt["id"] / "exit.json").read_text())
    assert attempt["ended_boot_us"] == told.get("boot_us")
    rows = charges(stoker)
    used = sum(row["quantity"] for row in rows)
    # Between two clocks that started apart there are microseconds; a second would be an interval lost or doubled.
    assert abs(used - (told["at"] - attempt["ready_at"])) < MICRO
    assert all(a["ends"] == b["starts"] for a, b in pairwise(rows))
    assert -sum(row["amount_micro"] for row in rows) == 7_200_500_000 * used // HOUR_US
    balance = stoker.json("balance")
    assert balance["balance_micro"] == 20_000 * MICRO + sum(row["amount_micro"] for row in rows)
    assert stoker.json("ledger", "verify")["ok"]


def _engine(stoker: Stoker) -> Any:
    (instance,) = stoker.json("show", "demo")["instances"]
    return instance["pid"]


def _is_another(stoker: Stoker, killed: int) -> bool:
    return stoker.pid("server") != killed
