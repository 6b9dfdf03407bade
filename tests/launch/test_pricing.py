"""What a replica costs, by where it runs, how many GPUs it takes, and how it is billed."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.domain.money import MICRO, Price
from app.launch.pricing import price_now, price_of_change
from app.settings import Home, find_home
from tests.store.spec import spec

CONFIG = """
[billing]
hour = "0.10"
gpu_hour = "0.40"
token_in = "2"
basis = "{basis}"
[hosts.gpu1]
address = "gpu1"
price = "1.25"
[hosts.gift]
address = "gift"
[simulated.play]
gpu = "H100"
gpus = 8
price = "2.00"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = find_home({"STOKER_HOME": str(tmp_path)})
    (tmp_path / "config.toml").write_text(CONFIG.format(basis="second"))
    return home


@pytest.mark.parametrize(
    ("host", "gpus", "hour"),
    [
        (None, None, 100_000),
        (None, "0", 500_000),
        (None, "count=2", 900_000),
        ("gpu1", None, 1_250_000),
        ("gpu1", "0,1,3", 3_750_000),
        ("gift", "count=8", 0),
    ],
)
def test_a_replica_costs_its_place_and_its_gpus(home: Home, host: str | None, gpus: str | None, hour: int) -> None:
    assert price_now(spec(host=host, gpus=gpus), home) == Price(hour, 2 * MICRO)


def test_flex_is_billed_by_use_or_by_token(home: Home) -> None:
    assert price_now(spec(mode="flex"), home).basis == "use"
    (home.config / "config.toml").write_text(CONFIG.format(basis="token"))
    assert price_now(spec(mode="flex"), home) == Price(100_000, 2 * MICRO, basis="token")
    assert price_now(spec(), home).basis == "second"


def test_a_number_of_gpus_that_is_not_known_has_no_price(home: Home) -> None:
    with pytest.raises(StokerError, match="All GPUs of `gpu1` have a price, and how many there are is not known"):
        price_now(spec(host="gpu1", gpus="all"), home)
    assert price_now(spec(host="gift", gpus="all"), home).free
    assert price_now(spec(backend="simulated", host="play", gpus="all"), home).hour == 16 * MICRO


def test_a_change_keeps_the_price_of_the_launch_unless_what_is_priced_changes(home: Home) -> None:
    launched = spec(gpus="0", price=Price(hour=7))
    assert price_of_change(launched, replace(launched, context=launched.context * 2), home) == Price(hour=7)
    assert price_of_change(launched, replace(launched, gpus="0,1"), home).hour == 900_000
    assert price_of_change(launched, replace(launched, mode="flex"), home).basis == "use"
