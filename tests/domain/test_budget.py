"""Who may spend: the first hour, caps, and the order in which deployments stop when the money is used up."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from app.domain.bill import Instant, Meter, Standing, accrued, advance
from app.domain.budget import Caps, Funds, blocked, may_release
from app.domain.facts import Attempt, Deployment, Instance, Seen, World
from app.domain.failures import StokerError
from app.domain.lifecycle import Phase, State
from app.domain.money import HOUR_US, MICRO, Price
from app.domain.placement import Placement
from app.domain.plans import PLANS, Plan, find_plan, require_mode, require_replicas
from app.domain.reconcile import Change, Stop, reconcile
from app.domain.settled import settled
from app.domain.status import derive

PRICES = {
    "dear": Price(hour=60 * MICRO),
    "cheap": Price(hour=MICRO),
    "free": Price(),
    "tokens": Price(0, 1, 1, "token"),
}
SERVING = (State.RUNNING, Phase.SERVING)


def deployment(name: str, variant: str, *phases: tuple[State, Phase], created: int = 1) -> Deployment:
    instances = tuple(
        Instance(
            id=f"{name}-{n}",
            name=f"{name}-{n}",
            variant_id=variant,
            backend="process",
            state=state,
            phase=phase,
            since=1,
            created_at=1,
            served=phase is Phase.SERVING,
            attempt=Attempt(
                f"{name}-{n}-1", 1, 1, started_at=1, ended_at=None if state in (State.RUNNING, State.PENDING) else 5
            ),
        )
        for n, (state, phase) in enumerate(phases)
    )
    return Deployment(name, name, "running", 1, max(1, len(phases)), variant, "", created, instances=instances)


def judge(
    *deployments: Deployment,
    funds: Funds,
    caps: Caps | None = None,
    order: tuple[str, ...] = ("idle", "newest"),
    used: Mapping[str, int] | None = None,
) -> dict[str, str]:
    return blocked(deployments, PRICES, funds, caps or Caps(), order, lambda name: (used or {}).get(name, 0))


def test_a_balance_of_nothing_blocks_nothing_that_costs_nothing() -> None:
    assert judge(deployment("a", "free", SERVING), deployment("b", "free"), funds=Funds(available=-5)) == {}


def test_a_start_needs_an_hour_and_says_what_is_missing() -> None:
    asleep = deployment("a", "dear", (State.STOPPED, Phase.BY_USER))
    assert judge(asleep, funds=Funds(available=59 * MICRO)) == {"a": "an hour costs 60.00, 1.00 is missing"}
    assert judge(asleep, funds=Funds(available=MICRO, held={"a": 59 * MICRO})) == {}
    assert "a" in judge(asleep, funds=Funds(available=MICRO, held={"other": 59 * MICRO}))


def test_what_runs_goes_on_until_a_minute_is_left() -> None:
    runs = deployment("a", "dear", SERVING)
    assert judge(runs, funds=Funds(available=MICRO + 1)) == {}
    assert judge(runs, funds=Funds(available=MICRO)) == {"a": "the balance is used up"}
    assert "a" in judge(runs, funds=Funds(available=2 * MICRO, accrued={"a": MICRO}))


@pytest.mark.parametrize(
    ("order", "first"),
    [(("idle",), "b"), (("newest",), "c"), (("oldest",), "a"), (("dearest",), "c"), (("a", "idle"), "a")],
)
def test_the_users_order_decides_who_stops_first(order: tuple[str, ...], first: str) -> None:
    fleet = [
        deployment("a", "cheap", SERVING, created=1),
        deployment("b", "cheap", SERVING, created=2),
        deployment("c", "cheap", SERVING, SERVING, created=3),
    ]
    used = {"a": 300, "b": 100, "c": 200}
    nearly = Funds(available=4 * MICRO // 60)
    assert list(judge(*fleet, funds=nearly, order=order, used=used)) == [first]
    assert set(judge(*fleet, funds=Funds(), order=order, used=used)) == {"a", "b", "c"}


def test_what_was_placed_at_a_price_is_guarded_by_that_price() -> None:
    runs = deployment("a", "free", SERVING)
    (instance,) = runs.instances
    assert instance.attempt is not None
    place = Placement("simulated@dear", "simulated", "dear", (0,), 60 * MICRO)
    placed = replace(runs, instances=(replace(instance, attempt=replace(instance.attempt, placement=place)),))
    assert judge(runs, funds=Funds(available=MICRO)) == {}
    assert judge(placed, funds=Funds(available=MICRO)) == {"a": "the balance is used up"}
    assert judge(placed, funds=Funds(available=MICRO + 1)) == {}


def test_what_leaves_already_counts_no_more() -> None:
    leaving = deployment("a", "dear", (State.RUNNING, Phase.STOPPING))
    assert judge(leaving, deployment("b", "cheap", SERVING), funds=Funds(available=MICRO)) == {}


@pytest.mark.parametrize(
    ("caps", "reason"),
    [
        (Caps(launch=5 * MICRO), "it has cost 6.00, the cap for one launch is 5.00"),
        (Caps(day=7 * MICRO), "today has cost 7.50, the cap for a day is 7.00"),
        (Caps(month=8 * MICRO), "this month has cost 9.00, the cap for it is 8.00"),
    ],
)
def test_caps_stop_what_runs_and_name_themselves(caps: Caps, reason: str) -> None:
    funds = Funds(10**12, spent={"a": 5 * MICRO}, accrued={"a": MICRO}, today=7 * MICRO + MICRO // 2, month=9 * MICRO)
    runs = deployment("a", "cheap", SERVING)
    assert judge(runs, funds=funds, caps=caps) == {"a": reason}
    assert judge(runs, funds=funds) == {}


def test_the_cap_before_the_first_token_ends_with_it() -> None:
    funds, caps = Funds(10**12, spent={"a": 2 * MICRO}), Caps(start=MICRO)
    loading = deployment("a", "cheap", (State.PENDING, Phase.LOADING))
    assert "before its first token" in judge(loading, funds=funds, caps=caps)["a"]
    assert judge(deployment("a", "cheap", SERVING), funds=funds, caps=caps) == {}


def test_tokens_are_stopped_when_there_is_nothing_left() -> None:
    runs = deployment("a", "tokens", SERVING)
    assert judge(runs, funds=Funds(available=1)) == {}
    assert judge(runs, funds=Funds()) == {"a": "the balance is used up"}


def test_a_blocked_deployment_drains_stops_and_says_why() -> None:
    runs = deployment("a", "dear", SERVING)
    world = World(now=1, blocked={"a": "the balance is used up"})
    seen = replace(world, seen={"a-0-1": Seen(started_at=1, ready=True)})
    (drain,) = reconcile(runs, seen)
    assert isinstance(drain, Change)
    assert drain.to == (State.RUNNING, Phase.DRAINING)
    assert drain.instance["drain_until"] is not None
    stopped = deployment("a", "dear", (State.FAILED, Phase.FAILED))
    (change,) = reconcile(stopped, world)
    assert isinstance(change, Change)
    assert change.to == (State.STOPPED, Phase.BY_BILLING)
    assert change.instance["failure_code"] == "BILLING_BLOCKED"
    at_rest = deployment("a", "dear", (State.STOPPED, Phase.BY_BILLING))
    assert reconcile(at_rest, world) == []
    assert derive("running", 1, at_rest.instances) == ("STOPPED", "BILLING_BLOCKED")
    assert settled(at_rest) == "failed"
    assert not isinstance(reconcile(at_rest, World(now=9))[0], Stop), "it comes back when there is money"


def test_what_is_held_goes_back_when_nothing_will_start() -> None:
    assert may_release(replace(deployment("a", "dear", (State.STOPPED, Phase.BY_USER)), wish="stopped"))
    assert may_release(deployment("a", "dear", (State.FAILED, Phase.FAILED)))
    assert not may_release(deployment("a", "dear", SERVING))
    assert not may_release(deployment("a", "dear"))
    waits = deployment("a", "dear", (State.FAILED, Phase.FAILED))
    assert not may_release(replace(waits, instances=(replace(waits.instances[0], retry_at=9),)))


def test_the_runway_warns_at_an_hour_and_at_a_quarter() -> None:
    def warning(minutes: int) -> str:
        return Standing(available=minutes * MICRO, burn=60 * MICRO).warning

    assert [warning(m) for m in (61, 60, 16, 15, 0)] == ["", "low", "low", "very low", "very low"]
    assert Standing(available=0).warning == ""
    assert Standing(available=3 * MICRO, burn=MICRO).runway_us == 3 * HOUR_US


def test_what_runs_up_between_two_ticks_is_known() -> None:
    meter = Meter("t", "d", 3_600 * MICRO, "boot", 1_000_000, 5_000_000)
    assert accrued([meter], Instant("boot", 3_500_000, 9)) == 2_500_000
    assert accrued([meter], Instant("boot", 500_000, 9)) == 0
    assert advance(meter, Instant("other", 7, 6_000_000)).us == 1_000_000
    assert advance(meter, Instant("boot", 9_000_000, 100_000_000), (97_000_000, None)).us == 5_000_000


def test_plans_name_themselves_and_their_limits() -> None:
    with pytest.raises(StokerError, match="PLAN_LIMIT: The plan `pro` allows 8 replicas; this makes 9"):
        require_replicas("pro", PLANS["pro"], 9)
    require_replicas("enterprise", PLANS["enterprise"], 10_000)
    with pytest.raises(StokerError, match="PLAN_LIMIT: The plan `pro` has no active deployments"):
        require_mode("pro", PLANS["pro"], "active")
    require_mode("pro", PLANS["pro"], "flex")
    assert find_plan("ours", {"ours": Plan(replicas=3)}).replicas == 3
    with pytest.raises(StokerError, match="There is no plan `gold`"):
        find_plan("gold", {})
