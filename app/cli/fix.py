"""`fix`: what would mend a deployment that failed, and doing it."""

import click

from app.cli.output import emit, note, say
from app.cli.params import json_option, name_argument, wait_option
from app.cli.server import writing
from app.domain.failures import StokerError
from app.domain.fix import Fix
from app.reach import actor
from app.render import deployment as render
from app.render.fixes import fix_documents, fix_lines
from app.settings import find_home
from app.store.fleet import look


@click.command()
@name_argument
@click.argument("number", metavar="[K]", type=click.IntRange(1), required=False)
@wait_option("it answers")
@json_option
def fix(name: str, number: int | None, wait: bool, as_json: bool) -> None:
    """List what would mend a failed deployment; with a number, do it.

    What changes a configuration makes a new variant, as `change` does, and starts it. What is a command for the host is
    printed, for you to run.
    """
    from app.launch.mend import apply_fix, fixes_of

    home = find_home()
    fleet = look(home, name)
    deployment = fleet.deployments[0]
    found = fixes_of(home, deployment)
    row = render.row(fleet, deployment)
    if row["failure"] is None:
        raise StokerError("NOT_FOUND", f"`{name}` has not failed: it is {row['status']}.", f"See `stoker show {name}`.")
    if number is None:
        if as_json:
            emit({"name": name, "failure": row["failure"], "fixes": fix_documents(found)})
        else:
            say(*render.failure_lines(row["failure"], fleet.now), *fix_lines(found, f"stoker fix {name} "))
        return
    chosen = _chosen(found, number, name)
    if chosen.command:
        if as_json:
            emit({"name": name, "command": chosen.command})
        else:
            note(f"{chosen.title}; run it where the engine lives:")
            say(chosen.command)
        return
    with writing(home) as session:
        variant = apply_fix(session, home, deployment, chosen, actor())
    after = None
    if wait:
        from app.cli.waiting import wait as wait_for

        after = wait_for(home, name, deployment.id)
    if as_json:
        emit({**(after or {"name": name}), "variant": variant})
    else:
        follow = "." if wait else f" asked for. Follow it: stoker events {name} -f"
        say(f"{name}: {chosen.title}, variant {variant}{follow}")


def _chosen(found: list[Fix], number: int, name: str) -> Fix:
    if number > len(found):
        has = f"{len(found)} option{'s' * (len(found) != 1)}" if found else "no option"
        raise StokerError("NOT_FOUND", f"`{name}` has {has}.", f"List them: `stoker fix {name}`.")
    return found[number - 1]
