"""`ps`, `show`, `events`, `variants`: what there is and what happened."""

import json
import time

import click

from app.cli.output import emit, say
from app.cli.params import json_option, name_argument
from app.domain.facts import Deployment
from app.domain.failures import StokerError
from app.domain.fix import Fix
from app.domain.fleet import Fleet
from app.flights import records
from app.render import deployment as render
from app.render.cells import Cell, line
from app.render.events import document, follow_line, timeline
from app.render.fixes import fix_documents, fix_lines
from app.render.flight import flight_documents, flight_lines
from app.render.placements import placement_documents, placement_lines
from app.settings import Home, find_home
from app.store import read
from app.store.fleet import look
from app.store.placements import placements

_EVENTS_SHOWN = 10
_POLL_S = 0.25


@click.command()
@json_option
def ps(as_json: bool) -> None:
    """List deployments: status, replicas, model, engine, backend."""
    fleet = _everything(find_home())
    documents = [] if fleet is None else render.rows(fleet)
    if as_json:
        emit(documents)
    elif fleet is None or not documents:
        say("Nothing is launched. The bundled model: stoker launch smollm2 --wait")
    else:
        say(*render.ps_table(documents, fleet.now))
        if fleet.endpoint:
            say("", line(Cell(f"endpoint {fleet.endpoint}", "dim")))
        say(*render.freshness_lines(fleet))


@click.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one deployment: variants, instances, why it failed, and the end of its timeline."""
    home = find_home()
    fleet = look(home, name)
    deployment = fleet.deployments[0]
    with read.reading(home.store) as connection:
        found = read.variants(connection, deployment.id)
        tail = [document(dict(row)) for row in read.events(connection, deployment.id)][-_EVENTS_SHOWN:]
        tried = placements(connection, deployment.id)
    numbers = {variant_id: number for variant_id, number, _, _ in found}
    found_fixes = _fixes(home, deployment)
    row = render.row(fleet, deployment)
    facts = {
        **row,
        "variants": render.variants(found, deployment.variant_id),
        "instances": render.instances(deployment, numbers),
        "fixes": fix_documents(found_fixes),
        **({"placements": placement_documents(tried)} if tried else {}),
    }
    if as_json:
        emit(facts)
        return
    options = [line(), *fix_lines(found_fixes, f"stoker fix {name} ")] if found_fixes else []
    options += [line(), *placement_lines(tried[-_EVENTS_SHOWN:], fleet.now)] if tried else []
    say(*render.show_lines(facts, fleet.now), *options, "", *timeline(tail), *render.freshness_lines(fleet))


@click.command()
@name_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as more happens.")
@click.option("--attempt", type=click.IntRange(1), help="The flight record of one attempt instead.")
@json_option
def events(name: str, follow: bool, attempt: int | None, as_json: bool) -> None:
    """Show what happened to a deployment, oldest first. With -f and --json: one document a line."""
    home = find_home()
    if attempt is not None:
        _flight(home, name, attempt, as_json)
        return
    with read.reading(home.store) as connection:
        deployment_id = read.deployment(connection, name).id
        rows = read.events(connection, deployment_id)
    if as_json and not follow:
        emit([document(dict(row)) for row in rows])
        return
    if not follow:
        say(*timeline([document(dict(row)) for row in rows]))
        return
    last = 0
    while True:
        for row in rows:
            say(json.dumps(document(dict(row))) if as_json else follow_line(document(dict(row))))
            last = row["id"]
        time.sleep(_POLL_S)
        with read.reading(home.store) as connection:
            rows = read.events(connection, deployment_id, last)


@click.command()
@name_argument
@json_option
def variants(name: str, as_json: bool) -> None:
    """List a deployment's variants and what changed between them; the current one is marked."""
    with read.reading(find_home().store) as connection:
        deployment = read.deployment(connection, name)
        found = read.variants(connection, deployment.id)
    documents = render.variants(found, deployment.variant_id)
    if as_json:
        emit(documents)
    else:
        say(*render.variant_table(documents, time.time_ns() // 1_000))


def _flight(home: Home, name: str, number: int, as_json: bool) -> None:
    """Phases, milestones, findings, actions and the end of attempt `number` of each instance, on one time axis."""
    with read.reading(home.store) as connection:
        found = list(records(connection, read.deployment(connection, name).id, number))
    if not found:
        raise StokerError("NOT_FOUND", f"`{name}` has no attempt {number}.", f"See `stoker show {name}`.")
    if as_json:
        emit([doc for i, a, marks in found for doc in flight_documents(i, a.number, marks, a.created_at)])
        return
    for n, (instance, attempt, marks) in enumerate(found):
        say(*([line()] if n else []), *flight_lines(instance, attempt.number, marks, attempt.created_at))


def _fixes(home: Home, deployment: Deployment) -> list[Fix]:
    """What would mend it; nothing is loaded for one that has not failed."""
    if all(i.failure_code is None for i in deployment.instances):
        return []
    from app.launch.mend import fixes_of

    return fixes_of(home, deployment)


def _everything(home: Home) -> Fleet | None:
    """All there is; None while nothing was ever launched."""
    try:
        return look(home)
    except StokerError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
