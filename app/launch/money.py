"""The checks of a launch that concern money and the plan."""

from app.boot import instant
from app.domain.budget import shortfall
from app.domain.failures import StokerError
from app.domain.money import Price, format_amount
from app.domain.plans import Mode, find_plan, require_mode, require_replicas
from app.launch.checks import Check, failed, from_error, passed
from app.settings import Home, Settings
from app.store import bill, read


def check_balance(home: Home, settings: Settings, price: Price, replicas: int) -> Check:
    """The balance covers an hour of `replicas`, and no cap on spending is reached. What is free always passes."""
    if price.free:
        return passed("balance", "costs nothing")
    hour = price.by_hour * replicas
    available, today, month = _money(home)
    billing, currency = settings.billing, settings.billing.currency
    if available < max(1, hour):
        text = shortfall(hour, max(1, hour) - available, currency)
        return failed("balance", "BILLING_BELOW_MINIMUM", f"{text[0].upper()}{text[1:]}.")
    for name, spent, cap in (("day", today, billing.cap_day), ("month", month, billing.cap_month)):
        if cap and spent >= cap:
            text = f"This {name} has cost {format_amount(spent)}, its cap is {format_amount(cap)} {currency}."
            return failed("balance", "BILLING_BLOCKED", text)
    if not hour:
        return passed("balance", f"{format_amount(available)} {currency}, billed by token")
    of_use = " of use" if price.basis == "use" else ""
    return passed("balance", f"covers {available // hour:,} h{of_use} at {format_amount(hour)} {currency} an hour")


def check_plan(home: Home, settings: Settings, name: str, replicas: int, mode: Mode) -> Check:
    """The plan allows a deployment of this `mode` and of so many replicas beside those of the others."""
    plan_name = settings.billing.plan
    try:
        plan = find_plan(plan_name, settings.plans)
        require_mode(plan_name, plan, mode)
        if plan.replicas:
            require_replicas(plan_name, plan, replicas + _replicas(home, name))
    except StokerError as error:
        return from_error("plan", error)
    return passed("plan", plan_name)


def _money(home: Home) -> tuple[int, int, int]:
    """What is available, and what today and this month have cost."""
    now = instant()
    standing = read.read_or(home.store, lambda connection: bill.standing(connection, now), None)
    if standing is None:
        return 0, 0, 0
    return standing.available - standing.accrued, standing.today, standing.month


def _replicas(home: Home, without: str) -> int:
    found = read.read_or(home.store, read.deployments, [])
    return sum(d.replicas for d in found if d.name != without and d.wish == "running")
