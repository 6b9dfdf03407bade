"""The guard on a played host: who is warned, who stops when, what each limit says, and what comes back by itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.control.places import Market
from app.domain.money import HOUR_US, MICRO, Micro, Price
from app.domain.offers import GIB, Offer, Slot, Wanted
from app.domain.status import Status, derive
from app.settings import BillingSettings
from app.store.bill import standing
from tests.control.played import HOST, Played, playing
from tests.widgets.support import golden

A_MINUTE = Price(hour=60 * MICRO)
"""A price of 1 a minute."""
FROM_START = Price(hour=60 * MICRO, from_start=True)


def wait_until(played: Played, true: Callable[[], object], minutes: int = 200) -> int:
    """Let minutes pass until something is true; how many."""
    for minute in range(minutes):
        if true():
            return minute
        played.goes_on(1)
    raise AssertionError(f"never came true in {minutes} minutes")


def verdict(played: Played, name: str) -> str:
    """What is said of a deployment that may not run."""
    found = played.deployment(name)
    (instance,) = found.instances
    status, detail = derive(found.wish, found.replicas, found.instances)
    return f"{status} {detail}: {instance.failure_evidence}"


def test_runway_warns_then_deployments_stop_in_the_users_order_and_come_back(tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        played.top_up(150 * MICRO)
        for name in ("chat", "embed"):
            played.launch(A_MINUTE, name=name)
        played.serve()
        assert played.running() == ["chat", "embed"]

        def warning() -> str:
            return standing(played.raw, played.now).warning

        assert warning() == ""
        assert wait_until(played, lambda: warning() == "low") == 15  # 150 less 2 a minute leave an hour
        assert wait_until(played, lambda: warning() == "very low") == 45
        (chat,) = played.deployment("chat").instances
        assert chat.attempt is not None
        played.request(chat.attempt.id, played.now.at, 1, 1)  # the other one has been idle for longer
        assert wait_until(played, lambda: played.running() != ["chat", "embed"]) == 14
        assert played.running() == ["chat"]
        assert verdict(played, "embed") == "STOPPED BILLING_BLOCKED: an hour costs 60.00, 58.00 is missing"
        wait_until(played, lambda: played.running() == [])
        left = standing(played.raw, played.now)
        assert 0 <= left.balance <= MICRO
        assert (left.held, left.burn) == (0, 0)
        played.goes_on(60)
        assert standing(played.raw, played.now).balance == left.balance
        played.top_up(70 * MICRO)
        played.serve()
        assert len(played.running()) == 1, "there is an hour for one of them"
        assert played.charged() == played.owed()


@pytest.mark.parametrize("order", [("embed",), ("newest",), ("oldest",)])
def test_names_and_ages_in_the_order_decide(tmp_path: Path, order: tuple[str, ...]) -> None:
    with playing(tmp_path, settings=BillingSettings(stop_order=order)) as played:
        played.top_up(122 * MICRO)
        for name in ("chat", "embed", "aside"):
            played.machine.wait(MICRO)
            played.launch(A_MINUTE if name != "aside" else Price(), name=name)
        played.serve()
        wait_until(played, lambda: len(played.running()) == 2)
        assert played.running() == (["aside", "embed"] if order == ("oldest",) else ["aside", "chat"])


CAP = Micro(10 * MICRO)
CAPS = {
    "a launch": (BillingSettings(cap_launch=CAP), A_MINUTE, 40.0, None),
    "a day": (BillingSettings(cap_day=CAP), A_MINUTE, 40.0, 16),
    "a month": (BillingSettings(cap_month=CAP), A_MINUTE, 40.0, 17 * 24),
    "a start": (BillingSettings(cap_start=CAP), FROM_START, 1e6, None),
}
"""Each cap with a price and seconds of loading that reach it, and the hours until it is over: the world begins on the
15th at eight."""


def test_each_cap_stops_what_reaches_it_and_says_so(tmp_path: Path) -> None:
    said = []
    for of, (settings, price, load, hours) in CAPS.items():
        folder = tmp_path / of
        folder.mkdir()
        with playing(folder, settings=settings, load=load) as played:
            played.top_up(10_000 * MICRO)
            played.launch(price, name="chat")
            played.serve()
            while played.running():
                played.goes_on(1)
            said.append(f"{of}: {verdict(played, 'chat')}\n")
            assert CAP <= played.charged() <= CAP + MICRO
            played.machine.wait((hours or 48) * HOUR_US)
            played.serve()
            assert played.running() == (["chat"] if hours else [])
    golden("caps", "".join(said), Path(__file__).parent)


@pytest.mark.parametrize("price", [A_MINUTE, FROM_START])
@pytest.mark.parametrize("fault", ["oom", "crash 20", "crash 60", "timeout 90", "capacity"])
def test_a_crash_loop_does_not_drain_the_balance(tmp_path: Path, fault: str, price: Price) -> None:
    with playing(tmp_path, faults=(fault,)) as played:
        played.top_up(10_000 * MICRO)
        played.launch(price, name="chat")
        played.goes_on(20)
        found = played.deployment("chat")
        assert derive(found.wish, found.replicas, found.instances)[0] is Status.FAILED
        spent = played.charged()
        assert spent <= 6 * MICRO, "five starts of a minute or so, at 1 a minute"
        played.machine.wait(24 * HOUR_US)
        played.settle()
        assert played.charged() == spent
        left = standing(played.raw, played.now)
        assert (left.balance, left.held) == (10_000 * MICRO - spent, 0)


def test_a_place_that_cannot_be_paid_for_is_given_back(tmp_path: Path) -> None:
    gpu = Slot(0, "0", 80 * GIB, 80 * GIB)
    market = Market((Offer("simulated", HOST, "H100", (gpu,), price=60 * MICRO),))
    with playing(tmp_path, market=market) as played:
        wanted = Wanted(gpu="H100", gpus=1, need=GIB, backends=("simulated",))
        played.launch(Price(), name="chat", smart=wanted)  # free where it was looked for first
        played.settle()

        def reserved() -> int:
            found: int = played.raw.execute("SELECT count(*) FROM reservations").fetchone()[0]
            return found

        assert (played.running(), reserved()) == ([], 0)
        played.top_up(61 * MICRO)
        played.serve()
        assert (played.running(), reserved()) == (["chat"], 1)
        assert standing(played.raw, played.now).held == 60 * MICRO


def test_flex_stops_when_its_use_has_used_up_the_balance(tmp_path: Path) -> None:
    with playing(tmp_path) as played:
        played.top_up(100 * MICRO)
        played.launch(Price(hour=60 * MICRO, basis="use"), name="chat")
        played.serve()
        played.machine.wait(5 * HOUR_US)
        played.settle()
        assert (played.charged(), played.running()) == (0, ["chat"])
        (attempt,) = played.ready
        for _ in range(4):
            began = played.machine.wall
            played.machine.wait(HOUR_US // 2)
            played.request(attempt, began, HOUR_US // 2, 1)
            played.settle()
        assert played.running() == []
        assert verdict(played, "chat") == "STOPPED BILLING_BLOCKED: an hour costs 60.00, 80.00 is missing"
        assert played.charged() == played.owed() == 120 * MICRO
