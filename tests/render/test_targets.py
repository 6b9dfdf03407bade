"""Who can be asked."""

from typing import Any

from app.domain.chat import Target
from app.domain.facts import Deployment, Instance
from app.domain.fleet import Fleet, Freshness
from app.domain.lifecycle import Phase, State
from app.render.targets import candidates, first_choice
from tests.store.spec import spec


def instance(variant: str, phase: Phase = Phase.SERVING, state: State = State.RUNNING) -> Instance:
    return Instance(f"i-{variant}-{phase}", "x", variant, "process", state, phase, 1, 1)


def fleet(**deployments: tuple[Instance, ...]) -> Fleet:
    rows = [
        Deployment(name, name, "running", 1, 1, "v2", "DEPLOYED", 1, instances=instances)
        for name, instances in deployments.items()
    ]
    specs: dict[str, Any] = {"v1": spec(), "v2": spec(context=8192)}
    return Fleet(rows, specs, Freshness("running", 1, True), None, 1)


NUMBERS = {"v1": 1, "v2": 2}


def test_every_deployment_can_be_asked_whatever_its_state() -> None:
    found = candidates(fleet(a=(instance("v2"),), b=()), NUMBERS)
    assert [(c.target, c.number, c.serves) for c in found] == [(Target("a"), 2, True), (Target("b"), 2, False)]
    assert found[0].state.text == "● DEPLOYED 1/1"
    assert found[1].state.text.startswith("◔ REQUESTED")
    assert "llama.cpp" in found[0].what


def test_variants_can_be_asked_while_several_serve() -> None:
    both = candidates(fleet(a=(instance("v2"), instance("v1"))), NUMBERS)
    assert [c.target for c in both] == [Target("a"), Target("a", 1), Target("a", 2)]
    leaving = candidates(fleet(a=(instance("v2"), instance("v1", Phase.DRAINING))), NUMBERS)
    assert [c.target for c in leaving] == [Target("a")]


def test_the_first_choice() -> None:
    found = candidates(fleet(a=(), b=(instance("v2"),), c=(instance("v2"),)), NUMBERS)
    assert first_choice(found, "a") == Target("a")
    assert first_choice(found, "gone") == Target("b")
    assert first_choice(found, None) == Target("b")
    assert first_choice(found[:1], None) == Target("a")
    assert first_choice([], "a") is None
    assert candidates(None, {}) == []
