"""`bundle`: one redacted archive for whoever looks into a failure."""

import sys

import click

from app.cli.output import emit, note, redraw, say
from app.cli.params import json_option
from app.render.words import size
from app.settings import find_home


@click.command()
@click.argument("subject", metavar="[NAME|ID]", required=False)
@json_option
def bundle(subject: str | None, as_json: bool) -> None:
    """Make one archive of what went wrong with a deployment, a request, or everything.

    Configuration, events, the ends of logs, versions, requests that failed, and a script that launches the same.
    Secrets are masked; prompts and answers are not in it.
    """
    from app.bundle import bundled_about, make_bundle

    home = find_home()
    name, request_id = bundled_about(home, subject)
    live = sys.stderr.isatty() and not as_json

    def show(done: int, total: int, part: str) -> None:
        if live:
            redraw(f"{done} of {total}  {part}")

    path, files = make_bundle(home, name, request_id, show)
    if live:
        note("")
    if as_json:
        emit({"path": str(path), "files": files})
    else:
        say(*(f"  {file}" for file in files))
        say(f"{path}  {size(path.stat().st_size)}")
