"""The account and its entries: documents, lines for people, and CSV."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.bill import Standing
from app.domain.money import format_amount, round_amount
from app.render.cells import Cell, Line, Tone, line, table
from app.render.words import UNKNOWN, clock, latency, moment, span

EXPORTED = (
    "id", "at", "kind", "key", "deployment", "instance", "attempt_id", "amount_micro", "quantity", "unit",
    "price_micro", "starts", "ends", "estimated", "actor", "note", "balance_micro", "currency",
)  # fmt: skip
"""The fields of an exported entry. Times are UTC microseconds, `quantity` microseconds or tokens, `price_micro` that of
an hour or a million tokens."""


def balance_document(standing: Standing, currency: str) -> dict[str, Any]:
    """The account as `balance --json` prints it."""
    runway = standing.runway_us
    return {
        "balance_micro": standing.balance,
        "held_micro": standing.held,
        "burn_per_hour_micro": standing.burn,
        "runway_s": None if runway is None else runway // 1_000_000,
        "currency": currency,
        "today_micro": standing.today,
        "month_micro": standing.month,
    }


def balance_lines(standing: Standing, currency: str) -> list[Line]:
    """The same for a person."""
    lines = [
        line("balance  ", Cell(f"{format_amount(standing.balance)} {currency}", "accent"), _held(standing)),
        line(f"burn     {format_amount(standing.burn)} {currency} an hour"),
        line("runway   ", runway_cell(standing)),
        line(f"today    {format_amount(standing.today)} {currency}"),
        line(f"month    {format_amount(standing.month)} {currency}"),
    ]
    if standing.warning:
        lines.append(line(Cell("The money runs out soon: put some in with `stoker topup AMOUNT`.", "look")))
    return lines


def runway_cell(standing: Standing) -> Cell:
    """How long the money lasts: `17 h left`, in yellow below an hour, in red below a quarter of one."""
    runway = standing.runway_us
    if runway is None:
        return Cell(UNKNOWN, "dim")
    if not runway:
        return Cell("nothing left", "bad")
    tone: Tone = "bad" if standing.warning == "very low" else "look" if standing.warning else "plain"
    return Cell(f"{span(runway // 1_000_000 * 1_000_000)} left", tone)


def header_parts(standing: Standing, currency: str) -> Line:
    """What every screen's header says of money: balance, burn, runway."""
    burn = round_amount(standing.burn)
    parts = [f"{round_amount(standing.balance)} {currency}", f"{burn}/h"] if standing.burn else []
    parts = parts or [f"{round_amount(standing.balance)} {currency}"]
    runway = [runway_cell(standing)] if standing.burn else []
    tone: Tone = "look" if standing.balance <= 0 < standing.burn else "plain"
    return line(Cell("   ".join(parts), tone), *(piece for cell in runway for piece in ("   ", cell)))


def entry_document(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """One entry as `ledger --json` and the export print it."""
    values = {**row, "amount_micro": row["amount"], "price_micro": row["price"], "balance_micro": row["balance"]}
    values |= {"estimated": bool(row["estimated"]), "currency": currency}
    return {name: values[name] for name in EXPORTED}


def entries_table(rows: Iterable[Mapping[str, Any]]) -> list[Line]:
    """What `stoker ledger` shows."""
    headers = ("ENTRY", "TIME", "KIND", "DEPLOYMENT", "QUANTITY × PRICE", "AMOUNT", "BALANCE")
    body: list[list[Cell | str]] = [[f"{row['id']}", moment(row["at"]), *entry_cells(row)] for row in rows]
    return table(headers, body, right=("ENTRY", "AMOUNT", "BALANCE"))


def entry_cells(row: Mapping[str, Any]) -> Sequence[Cell]:
    """Kind, deployment, quantity × price, amount and balance of an entry."""
    moved = row["kind"] in ("hold", "release")
    tone: Tone = "dim" if moved else "good" if row["amount"] > 0 else "plain"
    return (
        Cell(row["kind"], "dim" if moved else "plain"),
        Cell(row["instance"] or row["deployment"] or UNKNOWN),
        Cell(quantity(row), "dim"),
        Cell(format_amount(row["amount"], 6), tone),
        Cell(format_amount(row["balance"], 6)),
    )


def quantity(row: Mapping[str, Any]) -> str:
    """What was billed: `1 m × 0.60/h`, `about 12,345 tokens`; the note where nothing was."""
    if row["quantity"] is None:
        return str(row["note"])
    about = "about " if row["estimated"] else ""
    if row["unit"] == "us":
        return f"{about}{span(row['quantity'])} × {format_amount(row['price'])}/h"
    return f"{about}{row['quantity']:,} tokens"


def detail_lines(row: Mapping[str, Any], currency: str) -> list[Line]:
    """Everything about one entry."""
    facts = [
        ("kind", row["kind"]),
        ("when", moment(row["at"])),
        ("amount", f"{format_amount(row['amount'], 6)} {currency}"),
        ("balance after", f"{format_amount(row['balance'], 6)} {currency}"),
        ("deployment", row["deployment"]),
        ("instance", row["instance"]),
        ("attempt", f"{row['attempt']}   {row['attempt_id']}" if row["attempt"] else None),
        ("quantity", quantity(row) if row["quantity"] is not None else None),
        ("from", moment(row["starts"]) if row["starts"] else None),
        ("to", moment(row["ends"]) if row["ends"] else None),
        ("by", row["actor"]),
        ("note", row["note"]),
        ("key", row["key"]),
        ("hash", bytes(row["hash"]).hex()),
    ]
    return [line(Cell(f"{name:<15}", "dim"), str(value)) for name, value in facts if value]


def paid_cells(row: Mapping[str, Any], now: int) -> Line:
    """A request that an entry is for: time, id, instance, tokens, how long it took."""
    about = "~" if row["estimated"] else ""
    return line(
        Cell(clock(row["started_at"], now), "dim"),
        row["request_id"],
        row["instance"],
        f"{about}{row['tokens_in']:,} + {row['tokens_out']:,}",
        UNKNOWN if row["duration_us"] is None else latency(row["duration_us"]),
    )


def paid_table(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The requests that an entry is for, under headings; nothing where it is for none."""
    headers = ("TIME", "REQUEST", "INSTANCE", "IN + OUT", "TOOK")
    body = [paid_cells(row, rows[-1]["started_at"]) for row in rows]
    return [line(), *table(headers, body, right=("IN + OUT", "TOOK"))] if rows else []


def verdict_document(ok: bool, entries: int, first_bad: int | None, reason: str) -> dict[str, Any]:
    """The document of `ledger verify --json`."""
    return {"ok": ok, "entries": entries, "first_bad": first_bad, "reason": reason}


def _held(standing: Standing) -> str:
    return f"   {format_amount(standing.held)} of it held" if standing.held else ""


def summary_line(standing: Standing, currency: str) -> Line:
    """The top line of the ledger: balance, burn, runway, today, month."""
    parts: list[Cell | str] = [Cell(f"{round_amount(standing.balance)} {currency}", "accent")]
    if standing.held:
        parts.append(Cell(f" ({round_amount(standing.held)} held)", "dim"))
    for name, cell in (
        ("burn", Cell(f"{round_amount(standing.burn)}/h")),
        ("runway", runway_cell(standing)),
        ("today", Cell(round_amount(standing.today))),
        ("month", Cell(round_amount(standing.month))),
    ):
        parts += [Cell(f"   {name} ", "dim"), cell]
    return line(*parts)


def idle_line(row: Mapping[str, Any], now: int) -> Line:
    """What costs without being used, and what would end that."""
    text = f"{row['deployment']}: {round_amount(row['price'])}/h loaded, no request in {span(now - row['since'])}"
    return line(Cell(text, "look"), Cell(f"   stoker stop {row['deployment']}", "dim"))


def lingering_line(row: Mapping[str, Any], now: int) -> Line:
    """What was stopped and costs all the same, and the way out."""
    since = span(now - row["since"])
    text = f"{row['deployment']}: stopped {since} ago, still held by {row['backend']} at {round_amount(row['price'])}/h"
    return line(Cell(text, "bad"), Cell(f"   stoker show {row['deployment']}", "dim"))
