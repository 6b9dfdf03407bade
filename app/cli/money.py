"""`topup`, `balance`, `ledger`: money in, what is left, and where it went."""

import json
import sys
import time
from typing import Any

import click

from app.boot import instant
from app.cli.lazy import LazyGroup
from app.cli.output import emit, note, say
from app.cli.params import AMOUNT, PAST, json_option
from app.domain.bill import Standing
from app.domain.failures import StokerError
from app.domain.money import format_amount
from app.domain.text import safe
from app.export import write_csv
from app.reach import actor
from app.render import ledger as render
from app.settings import Home, find_home, load_settings
from app.store import bill, read
from app.store.usage import REQUESTS, paid

_KINDS = ("topup", "hold", "release", "charge", "refund", "adjustment")


@click.command()
@click.argument("amount", type=AMOUNT)
@click.option("--id", "key", help="Do it once: the same id with the same amount again changes nothing.")
@json_option
def topup(amount: int, key: str | None, as_json: bool) -> None:
    """Put money into the account, in its currency: `25`, `0.50`."""
    home = find_home()
    currency = load_settings(home).billing.currency
    from app.cli.server import writing
    from app.store.ledger import Book, top_up

    with writing(home) as session:
        new = top_up(Book(session, time.time_ns() // 1_000), amount, actor(), key)
    standing = _standing(home)
    if as_json:
        emit({**render.balance_document(standing, currency), "new": new})
        return
    say(f"{format_amount(amount)} {currency} in." if new else f"`{safe(key or '', 80)}` was booked before.")
    say(*render.balance_lines(standing, currency))


@click.command()
@json_option
def balance(as_json: bool) -> None:
    """Show what is left, what it burns, and how long it lasts."""
    home = find_home()
    currency = load_settings(home).billing.currency
    standing = _standing(home)
    if as_json:
        emit(render.balance_document(standing, currency))
    else:
        say(*render.balance_lines(standing, currency))


_FILTERS = (
    click.option("--deployment", help="Only entries of this deployment."),
    click.option("--kind", type=click.Choice(_KINDS), help="Only entries of this kind."),
    click.option("--since", type=PAST, help="Only entries from then on: 24h, 2030-01-31."),
    click.option("--until", type=PAST, help="Only entries before then."),
)


def _filtered(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group(
    cls=LazyGroup,
    table={
        "entry": ("app.cli.money:entry", "Show everything about one entry."),
        "verify": ("app.cli.money:verify", "Check every entry and every balance."),
        "export": ("app.cli.money:export", "Print all entries as CSV or JSON."),
    },
    invoke_without_command=True,
)
@_filtered
@click.option("--last", type=click.IntRange(1, 100_000), default=50, help="How many, the newest.", show_default=True)
@json_option
@click.pass_context
def ledger(ctx: click.Context, /, last: int, as_json: bool, **wanted: Any) -> None:
    """Show the entries of the account, the newest last."""
    if ctx.invoked_subcommand is not None:
        return
    home = find_home()
    currency = load_settings(home).billing.currency
    with read.reading(home.store) as connection:
        numbers = bill.matching(connection, bill.Filter(**wanted), last)
        rows = [dict(row) for row in bill.entries(connection, numbers[::-1])]
    if as_json:
        emit([render.entry_document(row, currency) for row in rows])
    elif rows:
        say(*render.entries_table(rows))
    else:
        note("There is no such entry.")


@click.command()
@click.argument("number", type=click.IntRange(min=1))
@json_option
def entry(number: int, as_json: bool) -> None:
    """Show everything about one entry, and the requests that it is for."""
    home = find_home()
    currency = load_settings(home).billing.currency
    with read.reading(home.store) as connection:
        row = next((dict(found) for found in bill.entries(connection, [number])), None)
        if row is None:
            raise StokerError("NOT_FOUND", f"There is no entry {number:,}.", "List them: `stoker ledger`.")
        requests = [dict(request) for request in paid(connection, row, REQUESTS)]
    if as_json:
        emit({**render.entry_document(row, currency), "requests": [request["request_id"] for request in requests]})
    else:
        say(*render.detail_lines(row, currency), *render.paid_table(requests))


@click.command()
@json_option
def verify(as_json: bool) -> int:
    """Recompute the chain and every balance; name the first entry that is not right."""
    from app.store.verify import verify as check

    found = check(find_home().store)
    if as_json:
        emit(render.verdict_document(found.ok, found.entries, found.first_bad, found.reason))
    elif found.ok:
        say(f"{found.entries:,} entries, all of them right.")
    else:
        where = f"Entry {found.first_bad}: " if found.first_bad is not None else ""
        say(f"{where}{found.reason}. {found.entries:,} entries before it are right.")
    return 0 if found.ok else 1


@click.command()
@_filtered
@click.option("--csv", "kind_of_file", flag_value="csv", default=True, help="As CSV. [the default]")
@click.option("--json", "kind_of_file", flag_value="json", help="As one JSON list.")
def export(kind_of_file: str, **wanted: Any) -> None:
    """Print all entries, the oldest first. Amounts are integers of a millionth, times UTC microseconds."""
    home = find_home()
    currency = load_settings(home).billing.currency
    if kind_of_file == "csv":
        write_csv(home, sys.stdout, currency, bill.Filter(**wanted))
    else:
        with read.reading(home.store) as connection:
            numbers = bill.matching(connection, bill.Filter(**wanted))[::-1]
            sys.stdout.write("[")
            for place, row in enumerate(bill.entries(connection, numbers)):
                document = render.entry_document(dict(row), currency)
                sys.stdout.write(("," if place else "") + "\n" + json.dumps(document))
            sys.stdout.write("\n]\n")
    sys.stdout.flush()


def _standing(home: Home) -> Standing:
    try:
        with read.reading(home.store) as connection:
            return bill.standing(connection, instant())
    except StokerError as error:
        if error.code != "NOT_FOUND":
            raise
        return Standing()  # nothing was ever put in
