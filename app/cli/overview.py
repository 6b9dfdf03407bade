"""`stoker` without a command where there is no terminal for the console: what there is, and what to type next."""

from app.cli.output import say
from app.domain.failures import StokerError
from app.render import deployment as render
from app.render.cells import Cell, line
from app.render.checks import check_lines
from app.settings import Home, find_home
from app.store.fleet import look

_FIRST = ("python", "disk", "cpu", "gpu", "llama.cpp", "model")


def overview() -> None:
    """List what runs; where nothing was launched yet, say what stoker can do on this machine."""
    home = find_home()
    say(line(Cell("stoker", "accent"), " runs language models on this machine and gives them one endpoint."), "")
    if _list(home):
        return
    from app.launch.doctor import examine

    checks = list(examine(home))
    say(*check_lines([c for c in checks if c.name in _FIRST or c.result != "pass"]), "")
    if any(check.result == "fail" for check in checks):
        say("Mend what failed first; all of it: stoker doctor")
    else:
        say("Nothing is launched yet. The bundled model: stoker launch smollm2 --wait")


def _list(home: Home) -> bool:
    """Show what there is; whether there is anything."""
    try:
        fleet = look(home)
    except StokerError as error:
        if error.code == "NOT_FOUND":
            return False
        raise
    if not fleet.deployments:
        return False
    rows = render.rows(fleet)
    say(*render.ps_table(rows, fleet.now))
    if fleet.endpoint:
        say("", line(Cell(f"endpoint {fleet.endpoint}", "dim")))
    say(*render.freshness_lines(fleet), "", f'Talk to it: stoker ask {rows[0]["name"]} "Hello"   more: stoker --help')
    return True
