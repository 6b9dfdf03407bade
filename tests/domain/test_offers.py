"""Which offers match, in which order they are tried, and what is said when none does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.offers import GIB, Offer, Slot, Wanted, explain, failing, in_turn, match


def slots(*free: float, total: float = 24) -> tuple[Slot, ...]:
    return tuple(Slot(index, str(index), int(total * GIB), int(each * GIB)) for index, each in enumerate(free))


HERE = Offer("process", memory=16 * GIB)
CHEAP = Offer("simulated", "sim-a", "RTX 4090", slots(24, 24), region="eu", tier="spot", price=400_000)
DEAR = Offer("simulated", "sim-b", "A100 80GB", slots(80, total=80), region="us", price=1_800_000)
TIGHT = Offer("simulated", "sim-c", "RTX 4090", slots(4, 20), region="EU", tier="secure", price=400_000)
DOWN = Offer("docker", "gpu9", price=100_000, trouble="not looked at yet")
ALL = (HERE, CHEAP, DEAR, TIGHT, DOWN)
ONE = Wanted(gpus=1)


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Wanted(), ["process", "simulated@sim-a", "simulated@sim-c", "simulated@sim-b"]),
        (ONE, ["simulated@sim-c", "simulated@sim-a", "simulated@sim-b"]),
        (replace(ONE, need=18 * GIB), ["simulated@sim-c", "simulated@sim-a", "simulated@sim-b"]),
        (replace(ONE, need=21 * GIB), ["simulated@sim-a", "simulated@sim-b"]),
        (replace(ONE, gpus=2), ["simulated@sim-c", "simulated@sim-a"]),
        (replace(ONE, gpus=2, need=5 * GIB), ["simulated@sim-a"]),
        (replace(ONE, gpu="nvidia geforce rtx4090", region="eu"), ["simulated@sim-c", "simulated@sim-a"]),
        (replace(ONE, tier="SPOT"), ["simulated@sim-a"]),
        (replace(ONE, gpus=2, max_price=800_000), ["simulated@sim-c", "simulated@sim-a"]),
        (replace(ONE, gpus=2, max_price=799_999), []),
        (Wanted(host="local"), ["process"]),
        (Wanted(host="sim-b"), ["simulated@sim-b"]),
        (Wanted(backends=("docker",)), []),
        (Wanted(need=17 * GIB), ["simulated@sim-a", "simulated@sim-c", "simulated@sim-b"]),
    ],
)
def test_the_cheapest_that_fits_comes_first(wanted: Wanted, places: list[str]) -> None:
    assert [offer.place for offer in match(ALL, wanted)] == places


def test_what_failed_comes_last_and_the_latest_at_the_end() -> None:
    ranked = match(ALL, ONE)
    assert in_turn(ranked, []) == ranked
    names = [TIGHT.name, DEAR.name]
    assert [offer.host for offer in in_turn(ranked, names)] == ["sim-a", "sim-c", "sim-b"]
    assert [offer.host for offer in in_turn(ranked, [*names[::-1], "docker@gone"])] == ["sim-a", "sim-b", "sim-c"]


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (replace(ONE, max_price=300_000), "--max-price 0.40 would match simulated@sim-a RTX 4090 at 0.40 an hour"),
        (replace(ONE, region="us", max_price=1_000_000), "--max-price 1.80 would match simulated@sim-b A100 80GB at"),
        (replace(ONE, region="mars", tier="secure"), "--region EU would match simulated@sim-c"),
        (replace(ONE, gpus=3), "--gpus 2 would match simulated@sim-a RTX 4090 at 0.80 an hour"),
        (replace(ONE, gpu="H100", region="us"), '--gpu "A100 80GB" would match simulated@sim-b'),
        (replace(ONE, need=100 * GIB), "a need of 80.0 GiB a GPU would match simulated@sim-b"),
        (replace(ONE, tier="spot", region="us"), "--region eu would match simulated@sim-a"),
        (Wanted(host="gpu9"), "--host local would match process at 0.00 an hour"),
        (Wanted(backends=("ray",)), ""),
    ],
)
def test_the_smallest_change_is_named(wanted: Wanted, change: str) -> None:
    found = explain(ALL, wanted)
    assert found.change.startswith(change)
    assert bool(found.change) == bool(change)


def test_a_table_of_what_each_constraint_removes() -> None:
    found = explain(ALL, replace(ONE, region="eu", max_price=300_000))
    assert {each.constraint: (each.removed, each.alone) for each in found.removals} == {
        "can be reached": (1, 0),
        "--gpus 1": (2, 0),
        "--region eu": (3, 0),
        "--max-price 0.30": (3, 2),
    }
    assert found.sentence().startswith("None of 5 offers matches: ")
    assert explain((), ONE).sentence() == "There are no offers."


def test_the_freest_gpus_are_chosen() -> None:
    offer = replace(CHEAP, slots=slots(4, 20, 10, 20))
    assert [slot.index for slot in offer.choose(2)] == [1, 3]
    assert (offer.free(1), offer.free(3), offer.free(5)) == (20 * GIB, 10 * GIB, 0)


@given(
    st.builds(
        Wanted,
        gpu=st.sampled_from(["", "4090", "H100"]),
        gpus=st.integers(0, 4),
        need=st.integers(0, 90).map(lambda gib: gib * GIB),
        region=st.sampled_from(["", "eu", "mars"]),
        tier=st.sampled_from(["", "spot"]),
        max_price=st.one_of(st.none(), st.integers(0, 4_000_000)),
        host=st.sampled_from(["", "local", "sim-a"]),
    )
)
def test_an_offer_matches_or_says_why_not(wanted: Wanted) -> None:
    ranked = match(ALL, wanted)
    assert all(bool(failing(offer, wanted)) != (offer in ranked) for offer in ALL)
    costs = [offer.cost(wanted.gpus) for offer in ranked]
    assert costs == sorted(costs)
    assert Wanted.from_json(wanted.to_json()) == wanted
    if not ranked:
        removals = explain(ALL, wanted).removals
        assert removals
        assert all(each.removed >= max(1, each.alone) for each in removals)
