"""`stop`, `start`, `restart`, `rm`, `rollback`: wishes about a deployment that exists."""

import click

from app.cli.output import confirm, emit, interactive, note, say
from app.cli.params import json_option, name_argument, wait_option
from app.cli.server import writing
from app.domain.engines import CONTAINERS
from app.domain.fleet import Fleet
from app.reach import actor
from app.render import deployment as render
from app.render.checks import check_lines
from app.settings import Home, find_home, load_presets
from app.store import read
from app.store.fleet import look


@click.command()
@name_argument
@click.option("--now", is_flag=True, help="Do not wait for requests in flight.")
@wait_option("it is stopped")
@json_option
def stop(name: str, now: bool, wait: bool, as_json: bool) -> None:
    """Stop a deployment. Requests in flight get 30 s to finish."""
    from app.store import wishes

    home = find_home()
    with writing(home) as session:
        deployment = wishes.stop(session, name, actor(), immediately=now)
    _done(home, name, deployment.id, wait, as_json)


@click.command()
@name_argument
@wait_option("it answers")
@json_option
def start(name: str, wait: bool, as_json: bool) -> None:
    """Start a stopped deployment, or try a failed one again."""
    from app.store import wishes

    home = find_home()
    _say_if_moved(home, name)
    with writing(home) as session:
        deployment = wishes.start(session, name, actor())
    _done(home, name, deployment.id, wait, as_json)


@click.command()
@name_argument
@wait_option("every instance is a new one")
@json_option
def restart(name: str, wait: bool, as_json: bool) -> None:
    """Start every instance anew, one by one where several serve."""
    from app.store import wishes

    home = find_home()
    _say_if_moved(home, name)
    with writing(home) as session:
        deployment = wishes.restart(session, name, actor())
    _done(home, name, deployment.id, wait, as_json)


@click.command()
@name_argument
@click.argument("variant", type=click.IntRange(1))
@wait_option("the variant serves alone")
@json_option
def rollback(name: str, variant: int, wait: bool, as_json: bool) -> None:
    """Go back to an earlier variant, by its number in `stoker variants NAME`."""
    from app.store import wishes

    home = find_home()
    with writing(home) as session:
        deployment = wishes.rollback(session, name, variant, actor())
    _done(home, name, deployment.id, wait, as_json)


@click.command()
@name_argument
@click.option("--forget", is_flag=True, help="Drop it even if a backend that cannot be reached may still hold it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_option("it is gone")
@json_option
def rm(name: str, forget: bool, yes: bool, wait: bool, as_json: bool) -> int:
    """Remove a deployment: its instances, its variants and its name."""
    from app.store import wishes

    home = find_home()
    fleet = look(home, name)
    if not yes and not _agreed(fleet):
        note(f"`{name}` stays as it is.")
        return 1
    with writing(home) as session:
        deployment = wishes.remove(session, name, actor(), forget=forget)
    _done(home, name, deployment.id, wait, as_json)
    return 0


def _say_if_moved(home: Home, name: str) -> None:
    """A line if what is started is no longer what the tag of its image stands for."""
    with read.reading(home.store) as connection:
        deployment = read.deployment(connection, name)
        spec = read.specs(connection, [deployment.variant_id])[deployment.variant_id]
    if spec.backend == CONTAINERS and (preset := load_presets(home).get(spec.engine)) is not None:
        from app.launch.pinning import moved

        if (check := moved(spec, preset)) is not None:
            note(*check_lines([check]))


def _agreed(fleet: Fleet) -> bool:
    """Whether somebody at the terminal says yes to what would be destroyed."""
    deployment = fleet.deployments[0]
    if not interactive():
        raise click.UsageError(f"Removing `{deployment.name}` needs --yes where nobody can be asked.")
    instances = ", ".join(i.name for i in deployment.instances) or "no instance"
    row = render.row(fleet, deployment)
    note(f"This stops and removes {deployment.name} ({row['status']}, {row['model']}): {instances}.")
    return confirm(f"Remove {deployment.name}?", default=False)


def _done(home: Home, name: str, deployment_id: str, wait: bool, as_json: bool) -> None:
    """Say what was wished, or wait until it is so."""
    row = None
    if wait:
        from app.cli.waiting import wait as wait_for

        row = wait_for(home, name, deployment_id)
    if as_json:
        emit(row or {"name": name})
    elif not wait:
        say(f"{name}: asked for. Follow it: stoker events {name} -f")
