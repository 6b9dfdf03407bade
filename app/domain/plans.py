"""Plans: what an installation allows itself, as named limits. A new one is `enterprise`: it is your own machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.domain.failures import StokerError
from app.domain.text import safe

Mode = Literal["flex", "active"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Limits, 0 for none: `replicas` of all deployments together, requests `at_once` through the gateway, `playground`
    requests a UTC day. `traffic` lets keys of others call deployments, `flex` and `active` allow those modes."""

    traffic: bool = True
    flex: bool = True
    active: bool = True
    replicas: int = 0
    at_once: int = 0
    playground: int = 0


PLANS: Mapping[str, Plan] = {
    "starter": Plan(traffic=False, playground=100),
    "pro": Plan(active=False, replicas=8, at_once=240),
    "team": Plan(replicas=32, at_once=960),
    "enterprise": Plan(),
}


def find_plan(name: str, own: Mapping[str, Plan]) -> Plan:
    """The plan called `name`, the user's `own` before ours. Raises CONFIG_INVALID."""
    plan = own.get(name) or PLANS.get(name)
    if plan is None:
        known = ", ".join(dict.fromkeys([*own, *PLANS]))
        raise StokerError("CONFIG_INVALID", f"There is no plan `{safe(name, 80)}`.", f"Plans: {known}.")
    return plan


def require_mode(name: str, plan: Plan, mode: Mode) -> None:
    """Raises PLAN_LIMIT where the plan has no such mode."""
    if not (plan.flex if mode == "flex" else plan.active):
        other = "active" if mode == "flex" else "flex"
        remedy = f"Launch it with `--mode {other}`, or choose another plan in [billing]."
        raise StokerError("PLAN_LIMIT", f"The plan `{name}` has no {mode} deployments.", remedy)


def require_replicas(name: str, plan: Plan, replicas: int) -> None:
    """Raises PLAN_LIMIT when `replicas` of all deployments together are more than the plan allows."""
    if plan.replicas and replicas > plan.replicas:
        text = f"The plan `{name}` allows {plan.replicas} replicas; this makes {replicas}."
        remedy = "Run fewer, or choose another plan in [billing]."
        raise StokerError("PLAN_LIMIT", text, remedy, detail={"limit": plan.replicas, "used": replicas})
