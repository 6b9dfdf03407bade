"""`request`: what became of one request through the gateway."""

import re
import time

import click

from app.cli.output import emit, note, say
from app.cli.params import json_option
from app.domain.failures import StokerError
from app.domain.text import safe
from app.moments import log_of_request
from app.render.requests import document, log_lines, request_lines
from app.settings import find_home
from app.store import read

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DRAINED_WITHIN_S = 1.5
"""How long the gateway may take to carry a request from its spool to the store."""


@click.command()
@click.argument("request_id", metavar="ID")
@json_option
def request(request_id: str, as_json: bool) -> None:
    """Explain one request, by the X-Request-Id of its response."""
    missing = StokerError(
        "NOT_FOUND",
        f"There is no request `{safe(request_id, 80)}`.",
        "Use the X-Request-Id of the response; of refused requests only the last ones are kept.",
    )
    if not _ID.fullmatch(request_id):
        raise missing
    deadline = time.monotonic() + _DRAINED_WITHIN_S
    while True:
        with read.reading(find_home().store) as connection:
            rows = [dict(row) for row in read.requests_with(connection, request_id)]
        if rows:
            break
        if time.monotonic() >= deadline:
            raise missing
        time.sleep(0.1)
    facts = document(rows[0])
    if as_json:
        emit(facts)
        return
    say(*request_lines(rows[0], facts), *log_lines(log_of_request(find_home(), rows[0])))
    if len(rows) > 1:
        note(f"{len(rows) - 1} earlier with the same id; each has one of its own.")
