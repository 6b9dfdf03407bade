"""`offers`: what there is to choose from, and what stands in the way."""

from app.domain.gpus import Gpu, HostFacts, HostLook, Reserve
from app.settings import Home
from app.store import telemetry
from app.store.write import Store
from tests.cli.conftest import Stoker

CONFIG = """
[billing]
hour = "0.05"
[hosts.gpu1]
address = "ssh://gpu1"
region = "eu"
price = "0.60"
[hosts.gpu2]
address = "ssh://gpu2"
price = "0.10"
[simulated.sim-a]
gpu = "RTX 4090"
gpus = 2
region = "us"
tier = "spot"
price = "0.40"
"""
GIB = 2**30


def seen(store: Store, name: str, *gpus: Gpu) -> None:
    """A look at a host, as the server notes it, at which `big` needs 30 GiB of its first GPU."""
    reserves = {gpus[0].uuid: {"big": Reserve(30 * GIB, 1)}}
    with store.write() as session:
        telemetry.record(session, HostFacts(name, HostLook("ok", 9, gpus), reserves, 1, 9))


def test_this_machine_is_an_offer_without_anything(stoker: Stoker) -> None:
    (here,) = stoker.json("offers")
    assert (here["name"], here["gpu"], here["price_per_hour_micro"]) == ("process", None, 0)
    assert here["memory_free"] > 0


def test_a_gpu_in_slices_is_no_offer(stoker: Stoker, home: Home, store: Store) -> None:
    (home.config / "config.toml").write_text(CONFIG)
    sliced = Gpu(0, "GPU-c", "NVIDIA H100", 80 * GIB, 0, 80 * GIB, mig=True)
    seen(store, "gpu2", sliced, Gpu(0, "MIG-c", "NVIDIA H100 MIG 1g", 10 * GIB, 0, 10 * GIB, slice=0))
    assert not any("H100" in each["name"] for each in stoker.json("offers"))


def test_hosts_are_offers_as_they_were_seen_last(stoker: Stoker, home: Home, store: Store) -> None:
    (home.config / "config.toml").write_text(CONFIG)
    card = Gpu(0, "GPU-a", "NVIDIA L40S", 48 * GIB, 2 * GIB, 46 * GIB)
    seen(store, "gpu1", card, Gpu(1, "GPU-b", "NVIDIA L40S", 48 * GIB, 8 * GIB, 40 * GIB))
    found = {each["name"]: each for each in stoker.json("offers", "--gpus", "1")}
    assert found["docker@gpu1 NVIDIA L40S"]["vram_free"] == 40 * GIB
    assert found["docker@gpu1 NVIDIA L40S"]["gpus"] == 2
    assert found["docker@gpu2"]["trouble"] == "not looked at yet"
    assert found["process"]["removed_by"] == ["--gpus 1"]
    prices = {name: each["price_per_hour_micro"] for name, each in found.items()}
    assert prices["process"] == 50_000
    assert prices["simulated@sim-a RTX 4090"] == 400_000
    two = stoker.json("offers", "--gpu", "l40s", "--gpus", "2", "--vram", "18")
    assert (two[0]["name"], two[0]["price_per_hour_micro"]) == ("docker@gpu1 NVIDIA L40S", 1_200_000)


def test_they_are_listed_in_the_order_in_which_they_would_be_tried(stoker: Stoker, home: Home) -> None:
    home.make()
    (home.config / "config.toml").write_text(CONFIG)
    shown = stoker("offers").out.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [
        ["1", "process"], ["2", "simulated@sim-a"], ["–", "docker@gpu1"], ["–", "docker@gpu2"],
    ]  # fmt: skip
    assert shown[-1].endswith("not looked at yet")


def test_when_nothing_matches_it_says_what_would(stoker: Stoker, home: Home) -> None:
    home.make()
    (home.config / "config.toml").write_text(CONFIG)
    result = stoker("offers", "--gpu", "4090", "--max-price", "0.30")
    assert result.status == 1
    assert "--max-price 0.30  2 of 4   1" in result.err
    assert "--max-price 0.40 would match simulated@sim-a RTX 4090 at 0.40 an hour." in result.err
    assert stoker("offers", "--max-price", "0,30").status == 2
