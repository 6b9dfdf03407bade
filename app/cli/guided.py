"""`stoker` without a command: what there is, and a guided first launch."""

import sys

from app.cli.output import confirm, interactive, note, note_part, say, say_part
from app.domain.failures import StokerError
from app.domain.text import safe_block
from app.render import deployment as render
from app.render.cells import Cell, line
from app.render.checks import check_lines
from app.render.keys import curl
from app.settings import Home, find_home
from app.store.fleet import look

_ALL = ("python", "disk", "cpu", "llama.cpp", "model")


def guide() -> None:
    """Say what stoker can do here; on a terminal offer to launch the bundled model, and to talk to it."""
    home = find_home()
    say(line(Cell("stoker", "accent"), " runs language models on this machine and gives them one endpoint."), "")
    if _list(home):
        return
    from app.launch.doctor import examine

    checks = list(examine(home))
    say(*check_lines([c for c in checks if c.name in _ALL or c.result != "pass"]), "")
    if any(check.result == "fail" for check in checks):
        say("Mend what failed first; all of it: stoker doctor")
    elif not interactive():
        say("Nothing is launched yet. The bundled model: stoker launch smollm2 --wait")
    elif confirm("Launch the bundled model?", default=True):
        _first(home)
    else:
        say("Whenever you like: stoker launch smollm2 --wait")


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


def _first(home: Home) -> None:
    """Launch the bundled model, show how to reach it, and let the person talk to it."""
    from app.cli.server import actor, require_gateway, writing
    from app.cli.waiting import wait
    from app.launch.models import BUNDLED_SLUG
    from app.launch.options import Options
    from app.launch.plan import plan_launch
    from app.launch.record import record_launch
    from app.settings import load_presets
    from app.talk import ask_key

    options = Options(model=BUNDLED_SLUG)
    plan = plan_launch(options, home, load_presets(home), ())
    plan.require()
    with writing(home) as session:
        launched = record_launch(session, home, plan, options, actor(), with_key=False)
    wait(home, launched.name, launched.id)
    url = f"{require_gateway(home)}/v1"
    key = ask_key(home)
    say("", line("endpoint  ", Cell(url, "accent"), f'   model "{launched.name}"'), "")
    say(*(line(Cell(text, "dim")) for text in curl(url, key, launched.name)), "")
    say("The key is in keys/ask.key; make others with: stoker keys create")
    _talk(home, launched.name)
    say(
        "",
        f"{launched.name} keeps running. Ask again: stoker ask {launched.name} QUESTION",
    )


def _talk(home: Home, name: str) -> None:
    """A prompt for questions, until an empty line or the end of input."""
    from app.render.answers import figures
    from app.talk import ask

    say("", "Ask it something; an empty line leaves.")
    messages: list[dict[str, str]] = []
    while True:
        note_part("> ")
        text = sys.stdin.readline().strip()
        if not text:
            return
        messages.append({"role": "user", "content": text})
        try:
            answer = ask(home, name, messages, lambda part: say_part(safe_block(part)))
        except StokerError as error:
            note(f"{error.code}: {error.message} {error.remedy}")
            messages.pop()
            continue
        say("")
        note(figures(answer))
        messages.append({"role": "assistant", "content": answer.text})
