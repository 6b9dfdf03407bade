"""What deciding costs: a pass of the pure rules over 1,000 instances, settled, starting, and all failed at once."""

import time
from dataclasses import replace

from app.domain.facts import Attempt, Deployment, Ended, Instance, Seen, World
from app.domain.lifecycle import Phase, State
from app.domain.reconcile import reconcile
from bench.figures import figure

INSTANCES = 1_000
ROUNDS = 20
NOW = 1_800_000_000_000_000


def fleet(state: State, phase: Phase) -> list[Deployment]:
    """As many deployments of one instance each, all in the same state."""
    return [_deployment(str(number), state, phase) for number in range(INSTANCES)]


def _deployment(name: str, state: State, phase: Phase) -> Deployment:
    attempt = Attempt(f"a{name}", 1, NOW, started_at=NOW)
    instance = Instance(f"i{name}", f"{name}-a", "v", "process", state, phase, NOW, NOW, attempt, "http://x", 1, NOW)
    return Deployment(name, name, "running", NOW, 1, "v", "DEPLOYED", NOW, instances=(instance,))


def measure(name: str, deployments: list[Deployment], seen: Seen) -> None:
    """Print the median time of a pass, and how many actions it decided on."""
    world = World(NOW, {f"a{d.name}": seen for d in deployments})
    times, actions = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        actions = sum(len(reconcile(deployment, world)) for deployment in deployments)
        times.append(time.perf_counter() - began)
    figure(f"reconcile_{name}", sorted(times)[ROUNDS // 2] * 1e3, "ms per pass", instances=INSTANCES, actions=actions)


if __name__ == "__main__":
    up = Seen(NOW, 1, "http://x", ready=True)
    measure("settled", fleet(State.RUNNING, Phase.SERVING), up)
    measure("starting", fleet(State.PENDING, Phase.STARTING), up)
    measure("failed", fleet(State.RUNNING, Phase.SERVING), replace(up, ended=Ended(NOW, "CONTAINER_EXITED", "x")))
