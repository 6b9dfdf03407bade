"""Who may spend: caps, the hour that a start must cover, and who stops first when the money is used up. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.facts import Deployment, Instance
from app.domain.lifecycle import Phase
from app.domain.money import FREE, HOUR_US, Price, format_amount

MARGIN_US = 60_000_000
"""Money for this long is kept for the stop itself: requests in flight have 30 s, the engine 10 s."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on spending in micro-units, 0 for none: of a deployment before its first token, of a deployment, of
    everything in a UTC day and month."""

    start: int = 0
    launch: int = 0
    day: int = 0
    month: int = 0


@dataclass(frozen=True, slots=True)
class Funds:
    """The money at one look, in micro-units: `available` and `held` (by deployment) as booked, `accrued` what has run
    up since (by deployment), `spent` by deployment as booked, `today` and `month` with what has run up."""

    available: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    accrued: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, int] = field(default_factory=dict)
    today: int = 0
    month: int = 0

    @property
    def balance(self) -> int:
        """All the money that is left."""
        return self.available + sum(self.held.values()) - sum(self.accrued.values())

    def spent_on(self, deployment_id: str) -> int:
        """What a deployment has cost so far."""
        return self.spent.get(deployment_id, 0) + self.accrued.get(deployment_id, 0)


def blocked(
    deployments: Sequence[Deployment],
    prices: Mapping[str, Price],
    funds: Funds,
    caps: Caps,
    order: Sequence[str],
    used_at: Callable[[str], int],
) -> dict[str, str]:
    """The deployments that may not run, by id, each with the reason.

    `prices` is by variant id, `order` the user's (`sort_key`), `used_at` tells when a deployment last had a request.
    One that costs nothing is never in it, whatever the balance.
    """
    priced = [d for d in deployments if d.wish == "running" and not _free(d, prices)]
    found = {d.id: why for d in priced if (why := _capped(d, funds, caps) or _unaffordable(d, prices, funds))}
    running = sorted((d for d in priced if d.id not in found and _up(d)), key=sort_key(order, prices, used_at))
    burn = sum(_burn(d, prices) for d in running)
    for deployment in running:
        if funds.balance > burn * MARGIN_US // HOUR_US:
            break
        found[deployment.id] = "the balance is used up"
        burn -= _burn(deployment, prices)
    return found


def shortfall(hour: int, missing: int, currency: str = "") -> str:
    """Why there is not enough for a start that costs `hour` in its first hour, 0 where only tokens are billed."""
    if not hour:
        return "there is nothing left to pay for tokens"
    return f"an hour costs {format_amount(hour)}{currency and f' {currency}'}, {format_amount(missing)} is missing"


def sort_key(
    order: Sequence[str], prices: Mapping[str, Price], used_at: Callable[[str], int]
) -> Callable[[Deployment], tuple[int | str, ...]]:
    """The key that sorts deployments by who stops first.

    Each word of `order` decides where those before it leave a tie: a deployment's name puts that one first, `idle` who
    was used longest ago, `newest` and `oldest` by launch, `dearest` by price.
    """

    def key(deployment: Deployment) -> tuple[int | str, ...]:
        by_word = {
            "idle": lambda: used_at(deployment.id),
            "newest": lambda: -deployment.created_at,
            "oldest": lambda: deployment.created_at,
            "dearest": lambda: -_burn(deployment, prices),
        }
        return (*(by_word.get(word, lambda w=word: int(deployment.name != w))() for word in order), deployment.id)

    return key


def price_there(instance: Instance, price: Price) -> Price:
    """What a replica of a variant that costs `price` costs where it was placed."""
    placement = None if instance.attempt is None else instance.attempt.placement
    return price.placed(None if placement is None else placement.price)


def may_release(deployment: Deployment) -> bool:
    """Whether what is held for a deployment is needed no more: nothing of it runs, and nothing will start by itself."""
    if any(i.attempt is not None and i.attempt.ended_at is None for i in deployment.instances):
        return False
    if deployment.wish != "running":
        return True
    waiting = any(i.retry_at is not None or i.phase is Phase.REGISTERING for i in deployment.instances)
    return bool(deployment.instances) and not waiting


def _capped(deployment: Deployment, funds: Funds, caps: Caps) -> str:
    spent = funds.spent_on(deployment.id)
    if caps.launch and spent >= caps.launch:
        return f"it has cost {format_amount(spent)}, the cap for one launch is {format_amount(caps.launch)}"
    if caps.start and spent >= caps.start and not any(i.served for i in deployment.instances):
        cap = format_amount(caps.start)
        return f"it has cost {format_amount(spent)} before its first token, the cap for that is {cap}"
    if caps.day and funds.today >= caps.day:
        return f"today has cost {format_amount(funds.today)}, the cap for a day is {format_amount(caps.day)}"
    if caps.month and funds.month >= caps.month:
        return f"this month has cost {format_amount(funds.month)}, the cap for it is {format_amount(caps.month)}"
    return ""


def _unaffordable(deployment: Deployment, prices: Mapping[str, Price], funds: Funds) -> str:
    """Why nothing of a deployment that is down may start: its first hour is not covered."""
    if _up(deployment) or any(_open(i) for i in deployment.instances):
        return ""
    hour = prices[deployment.variant_id].by_hour
    others = sum(amount for name, amount in funds.held.items() if name != deployment.id)
    missing = max(1, hour) - (funds.balance - others)
    return shortfall(hour, missing) if missing > 0 else ""


def _up(deployment: Deployment) -> bool:
    """Whether something of it runs that is not leaving already."""
    return any(_open(i) and not _leaving(i) for i in deployment.instances)


def _open(instance: Instance) -> bool:
    return instance.attempt is not None and instance.attempt.ended_at is None


def _leaving(instance: Instance) -> bool:
    stopping = instance.attempt is not None and instance.attempt.stop_at is not None
    return stopping or instance.phase in (Phase.DRAINING, Phase.STOPPING)


def _burn(deployment: Deployment, prices: Mapping[str, Price]) -> int:
    """What a deployment costs an hour as things are, or will once it serves."""
    up = [i for i in deployment.instances if _open(i) and not _leaving(i)]
    return sum(price_there(i, prices.get(i.variant_id, FREE)).by_hour for i in up)


def _free(deployment: Deployment, prices: Mapping[str, Price]) -> bool:
    """Whether nothing that a deployment runs or would start has a price."""
    running = (price_there(i, prices.get(i.variant_id, FREE)) for i in deployment.instances if _open(i))
    return prices.get(deployment.variant_id, FREE).free and all(price.free for price in running)
