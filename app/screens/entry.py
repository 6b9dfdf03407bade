"""One entry of the ledger as a sheet, and from there the deployment and the requests that it is for."""

from typing import TYPE_CHECKING, Any

from app.domain.failures import StokerError
from app.render.ledger import detail_lines, paid_cells
from app.screens.explain import explain_request
from app.store import bill, read
from app.store.usage import REQUESTS, paid
from widgets.asking import PickDialog, Sheet
from widgets.columns import Column
from widgets.spans import Line

if TYPE_CHECKING:
    from app.screens.base import ConsoleScreen

_COLUMNS = (
    Column("at", "TIME", 12, priority=9),
    Column("request", "REQUEST", minimum=12, maximum=40, priority=8),
    Column("instance", "INSTANCE", minimum=8, maximum=30, priority=6),
    Column("tokens", "IN + OUT", 16, right=True, priority=7),
    Column("took", "TOOK", 9, right=True, priority=7),
)


def explain_entry(screen: "ConsoleScreen", number: int, currency: str) -> None:
    """Show everything about the entry `number` over `screen`."""
    console = screen.console

    def find() -> None:
        try:
            with read.reading(console.home.store) as connection:
                rows = [dict(row) for row in bill.entries(connection, [number])]
                requests = [dict(row) for entry in rows for row in paid(connection, entry, REQUESTS)]
        except StokerError as error:
            console.call_from_thread(screen.say_error, error)
            return
        for row in rows:
            console.call_from_thread(show, row, requests)

    def show(row: dict[str, Any], requests: list[dict[str, Any]]) -> None:
        keys = []
        if requests:
            keys.append(("r", "its requests", lambda: pick(requests)))
        if row["deployment"]:
            keys.append(("o", "open its deployment", lambda: follow(row["deployment"])))
        lines = [screen.spans(line, 1) for line in detail_lines(row, currency)]
        console.push_screen(Sheet([(f"Entry {row['id']:,}", "strong")], lines, keys, glyphs=console.glyphs))

    def follow(deployment: str) -> str:
        console.pop_screen()
        console.go("deployment", deployment)
        return ""

    def pick(requests: list[dict[str, Any]]) -> str:
        now = requests[-1]["started_at"]
        rows = [(request["id"], screen.spans(paid_cells(request, now))[1:]) for request in requests]
        of_all = f", the first {REQUESTS:,}" if len(requests) == REQUESTS else ""
        title: Line = [(f"Requests of entry {number:,}{of_all}", "strong")]
        console.push_screen(PickDialog(title, _COLUMNS, rows, glyphs=console.glyphs), explain)
        return ""

    def explain(request_id: str | None) -> None:
        if request_id is not None:
            explain_request(screen, request_id)

    screen.run_worker(find, thread=True, exit_on_error=False, group="entry")
