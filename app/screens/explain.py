"""What is explained over a screen: the words of a row among the keys, and what became of one request as a sheet."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.domain.explain import everything
from app.domain.failures import StokerError
from app.moments import log_of_request
from app.render.cells import Line as RenderLine
from app.render.explain import help_rows
from app.render.requests import document, log_lines, request_lines
from app.screens import bundling
from app.settings import Home
from app.store import read
from app.store.durations import usual
from widgets.asking import Sheet
from widgets.dialogs import Section

if TYPE_CHECKING:
    from app.screens.base import ConsoleScreen

_DRAINED_WITHIN_S = 1.5
"""How long the gateway may take to carry a request from its spool to the store."""


def explain_request(screen: "ConsoleScreen", request_id: str) -> None:
    """Show the request of this id (the client's, or our own) over `screen`, or say why not."""
    console = screen.console

    def find() -> None:
        try:
            row = _find(console.home, request_id)
            written = log_lines(log_of_request(console.home, row))
        except StokerError as error:
            console.call_from_thread(screen.say_error, error)
            return
        console.call_from_thread(show, row, written)

    def show(row: dict[str, Any], written: list[RenderLine]) -> None:
        title, *rest = [screen.spans(line) for line in (*request_lines(row, document(row)), *written)]
        keys = [("y", "copy id", copy), ("b", "bundle", lambda: bundle(row))]
        sheet = Sheet(title, [[(" ", "plain"), *line] for line in rest], keys, glyphs=console.glyphs)
        console.push_screen(sheet)

    def bundle(row: dict[str, Any]) -> str:
        bundling.make(screen, row["deployment"], request_id)
        return "a bundle is being made; its path comes up under the screen"

    def copy() -> str:
        console.copy(request_id, "id")
        return "id copied"

    screen.run_worker(find, thread=True, exit_on_error=False, exclusive=True, group="explain")


def explained(home: Home, words: Iterable[str]) -> list[Section]:
    """What the help screen says of codes, statuses and phases; of those it knows. Reads the store."""
    try:
        with read.reading(home.store) as connection:
            takes = usual(connection)
    except StokerError:
        takes = {}
    known = {each.word: each for each in everything()}
    return [(word, help_rows(known[word], takes)) for word in words if word in known]


def _find(home: Home, request_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _DRAINED_WITHIN_S
    while True:
        with read.reading(home.store) as connection:
            rows = read.requests_with(connection, request_id)
        if rows:
            return dict(rows[0])
        if time.monotonic() >= deadline:
            raise StokerError(
                "NOT_FOUND", "This request is not kept.", "Of those that were refused only the last ones are."
            )
        time.sleep(0.1)
