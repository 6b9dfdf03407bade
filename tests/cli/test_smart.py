"""`launch --smart`: what is recorded, what is refused, and where its attempts went."""

import json
from typing import Any

import pytest

from app.settings import Home
from app.store import read
from app.store.write import Store
from tests.cli import rows
from tests.cli.conftest import Stoker

CONFIG = """
[simulated.sim-a]
gpu = "RTX 4090"
gpus = 2
region = "eu"
price = "0.40"
[simulated.sim-b]
gpu = "RTX 4090"
gpus = 1
region = "us"
price = "0.30"
"""


@pytest.fixture(autouse=True)
def hosts(home: Home) -> None:
    home.make()
    (home.config / "config.toml").write_text(CONFIG)


def check(stoker: Stoker, *words: str) -> dict[str, Any]:
    """The check of the offers in a dry run of a launch, which need not be one that passes."""
    document = stoker("launch", "smollm2", "--smart", *words, "--dry-run", "--json").document
    (found,) = [each for each in document["checks"] if each["name"] == "offers"]
    return dict(found)


def test_it_says_where_it_would_go_first(stoker: Stoker) -> None:
    assert check(stoker, "--gpu", "4090")["detail"] == "2 of 3 match, first simulated@sim-b RTX 4090 at 0.30 an hour"
    two = check(stoker, "--gpus", "2")["detail"]
    assert two == "1 of 3 match, first simulated@sim-a RTX 4090 at 0.80 an hour"
    assert "first process at 0.00" in check(stoker)["detail"]
    assert "first simulated@sim-a" in check(stoker, "--region", "eu")["detail"]


def test_what_cannot_be_is_refused_with_what_could(stoker: Stoker) -> None:
    refused = stoker("launch", "smollm2", "--smart", "--gpu", "4090", "--max-price", "0.20", "--json")
    assert refused.status == 1
    assert refused.error["code"] == "SMART_NO_MATCH"
    assert "--max-price 0.20 removes 2" in refused.error["message"]
    assert refused.error["remedy"] == "--max-price 0.30 would match simulated@sim-b RTX 4090 at 0.30 an hour."
    huge = check(stoker, "--gpu", "4090", "--ctx", "1000k", "--seqs", "8")
    assert (huge["code"], "a need of 23.5 GiB a GPU" in huge["remedy"]) == ("SMART_NO_MATCH", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--region", "eu"), "`--region` is for `--smart`"),
        (("--max-price", "0.5"), "`--max-price` is for `--smart`"),
        (("--smart", "--max-price", "cheap"), "is no amount"),
    ],
)
def test_words_that_make_no_sense(stoker: Stoker, words: tuple[str, ...], said: str) -> None:
    result = stoker("launch", "smollm2", *words)
    assert result.status == 2
    assert said in result.err


def test_it_chooses_the_gpus_itself(stoker: Stoker) -> None:
    assert check(stoker, "--gpus", "0,1")["code"] == "CONFIG_INVALID"
    assert check(stoker, "--gpus", "count=2")["result"] == "pass"
    assert "first process" in check(stoker, "--gpus", "0")["detail"]


@pytest.mark.usefixtures("server")
def test_its_constraints_are_kept_until_a_change_names_a_place(stoker: Stoker, home: Home) -> None:
    stoker.json("topup", "10")
    stoker.json("launch", "smollm2", "--name", "demo", "--smart", "--gpu", "4090", "--region", "eu")
    shown = stoker.json("show", "demo")
    assert shown["variants"][0]["smart"] == "--smart --gpu 4090 --gpus 1 --region eu"
    assert "placements" not in shown
    with read.reading(home.store) as connection:
        (_, _, spec, _) = read.variants(connection, shown_id(connection))[0]
    assert spec.price.hour == 400_000
    assert spec.smart is not None
    assert spec.smart.backends == ("process", "simulated", "docker")
    assert spec.smart.need > 2**28
    stoker.json("change", "demo", "--ctx", "8k")
    assert "--smart" in stoker.json("show", "demo")["variants"][1]["smart"]
    stoker.json("change", "demo", "--host", "sim-b")
    last = stoker.json("show", "demo")["variants"][2]
    assert (last["smart"], last["backend"]) == (None, "simulated@sim-b")


def shown_id(connection: Any) -> str:
    return read.deployment(connection, "demo").id


@pytest.mark.usefixtures("server")
def test_every_attempt_is_a_row_with_its_error_and_the_next_delay(stoker: Stoker, store: Store) -> None:
    from app.store.tables import Attempt, Event

    deployment = rows.launch(store)
    instance = rows.instance(store, deployment, attempts=2)
    with read.reading(store.path) as connection:
        first, second = (each.id for each in read.attempts(connection, instance.id))
    place = {"name": "simulated@sim-b RTX 4090", "backend": "simulated", "host": "sim-b", "gpus": [0], "price": 300_000}
    with store.write() as session:
        one, two = session.get_one(Attempt, first), session.get_one(Attempt, second)
        one.placement, one.failure_code = json.dumps(place), "PROVIDER_TIMEOUT"
        two.placement = json.dumps(place | {"name": "simulated@sim-a RTX 4090", "host": "sim-a", "price": 400_000})
        two.created_at = one.created_at + 3_000_000
        failure = Event(
            at=one.created_at + 1_000_000,
            deployment_id=deployment.id,
            subject=instance.name,
            to_state="failed/failed",
            cause="PROVIDER_TIMEOUT",
            actor="server",
            detail="no capacity within 1 s",
        )
        session.add_all((one, two, failure))
    found = stoker.json("show", "demo")["placements"]
    assert [(each["offer"], each["price_per_hour_micro"]) for each in found] == [
        ("simulated@sim-b RTX 4090", 300_000),
        ("simulated@sim-a RTX 4090", 400_000),
    ]
    assert (found[0]["code"], found[0]["evidence"]) == ("PROVIDER_TIMEOUT", "no capacity within 1 s")
    assert [each["next_after_us"] for each in found] == [2_000_000, None]
    shown = stoker("show", "demo").out
    assert "after 2.0 s  PROVIDER_TIMEOUT: no capacity within 1 s" in shown
