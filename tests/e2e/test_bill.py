"""The bill of a real engine: right to the microsecond whatever is killed, and the end of what is not paid for."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.domain.money import MICRO
from app.store import read
from tests.control.support import engines, wait_for
from tests.e2e.bill import billing, charges, is_billed_to_the_microsecond, kill_server
from tests.e2e.stoker import Stoker, installed


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker:
        yield stoker


@pytest.mark.timeout(600)
def test_the_bill_of_an_engine_whose_server_was_killed_twice(stoker: Stoker) -> None:
    is_billed_to_the_microsecond(stoker)


def test_a_cap_that_is_reached_stops_the_engine_and_says_why(stoker: Stoker) -> None:
    billing(stoker, hour="3600", cap_launch="1.5")
    stoker.run("topup", "10000")
    stoker.launch()
    wait_for(lambda: stoker.json("ps")[0]["status"] == "STOPPED", "the cap to stop it")
    assert not engines(stoker.home)
    failure = stoker.json("ps")[0]["failure"]
    assert failure["code"] == "BILLING_BLOCKED"
    assert "the cap for one launch is 1.50" in failure["evidence"]
    again = stoker.run("start", "demo", "--wait", check=False)
    assert again.returncode == 1
    assert "BILLING_BLOCKED" in again.stderr
    assert not engines(stoker.home)
    assert stoker.json("ledger", "verify")["ok"]


@pytest.mark.timeout(600)
def test_a_flex_deployment_is_billed_for_the_seconds_of_its_use(stoker: Stoker) -> None:
    billing(stoker, hour="3600", plan="pro")
    stoker.run("topup", "10000")
    refused = stoker.run("launch", "smollm2", "--name", "demo", check=False)
    assert "PLAN_LIMIT: The plan `pro` has no active deployments" in refused.stderr
    stoker.launch("demo", "--mode", "flex")
    assert stoker.answers()
    assert stoker.answers()
    wait_for(lambda: len(_answered(stoker)) == 2, "both requests to be in the store")
    kill_server(stoker)  # the next one bills as it begins
    wait_for(partial(_billed, stoker), "both requests to be billed")
    used = sum(_answered(stoker))
    found = charges(stoker)
    assert sum(row["quantity"] for row in found) == used
    assert -sum(row["amount_micro"] for row in found) == used
    shown = [stoker.json("ledger", "entry", str(row["id"])) for row in found]
    assert sum(len(entry["requests"]) for entry in shown) == 2
    assert "demo-a" in stoker.run("ledger", "entry", str(found[0]["id"])).stdout
    balance = stoker.json("balance")
    assert balance["balance_micro"] == 10_000 * MICRO - used
    assert balance["held_micro"] == 3_600 * MICRO - used
    assert stoker.json("ledger", "verify")["ok"]


def _answered(stoker: Stoker) -> list[int]:
    """How long each request took that was answered, in microseconds."""
    with read.reading(stoker.home.store) as connection:
        return [row[0] for row in connection.execute("SELECT duration_us FROM requests WHERE status = 200")]


def _billed(stoker: Stoker) -> bool:
    return sum(int(row["note"].split()[0]) for row in charges(stoker)) == 2
