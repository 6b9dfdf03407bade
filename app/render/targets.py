"""Who can be asked in the playground: every deployment, and each variant of one of which several serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.chat import Target
from app.domain.facts import Deployment, Instance
from app.domain.fleet import Fleet
from app.domain.lifecycle import Phase, State
from app.domain.money import FREE, Price
from app.domain.status import derive
from app.render.cells import Cell
from app.render.states import instance_cell, status_cell


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that can be asked: the `number` of the variant that answers, how it is, its model and engine, its price."""

    target: Target
    number: int
    state: Cell
    what: str
    serves: bool
    price: Price = FREE


def candidates(fleet: Fleet | None, numbers: Mapping[str, int]) -> list[Candidate]:
    """Everyone there is, by name. `numbers` are those of the variants, by id."""
    found = []
    for deployment in fleet.deployments if fleet else ():
        status, detail = derive(deployment.wish, deployment.replicas, deployment.instances)
        serving = {i.variant_id: i for i in deployment.instances if _serves(i)}
        found.append(
            Candidate(
                Target(deployment.name),
                numbers.get(deployment.variant_id, 0),
                status_cell(status, detail),
                _what(fleet, deployment.variant_id),
                bool(serving),
                _price(fleet, deployment.variant_id),
            )
        )
        if len(serving) > 1:
            found += _variants(fleet, deployment, serving, numbers)
    return found


def first_choice(found: Sequence[Candidate], preferred: str | None) -> Target | None:
    """Who is asked when nobody was chosen: the preferred deployment, else the first that serves, else the first."""
    names = {c.target.name for c in found}
    if preferred in names:
        return Target(preferred)
    return next((c.target for c in sorted(found, key=lambda c: not c.serves)), None)


def _variants(
    fleet: Fleet | None, deployment: Deployment, serving: Mapping[str, Instance], numbers: Mapping[str, int]
) -> list[Candidate]:
    each = sorted((numbers[variant_id], variant_id) for variant_id in serving if variant_id in numbers)
    return [
        Candidate(
            Target(deployment.name, number),
            number,
            instance_cell(serving[variant_id].state, serving[variant_id].phase),
            _what(fleet, variant_id),
            True,
            _price(fleet, variant_id),
        )
        for number, variant_id in each
    ]


def _what(fleet: Fleet | None, variant_id: str) -> str:
    spec = fleet.specs.get(variant_id) if fleet else None
    return "" if spec is None else f"{spec.model.name} {spec.engine}"


def _price(fleet: Fleet | None, variant_id: str) -> Price:
    spec = fleet.specs.get(variant_id) if fleet else None
    return FREE if spec is None else spec.price


def _serves(instance: Instance) -> bool:
    return instance.state is State.RUNNING and instance.phase is Phase.SERVING
