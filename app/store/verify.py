"""Checking the ledger from its first entry on: numbers, chain, postings, balances, and what is kept beside them."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from app.domain.chain import CHAINED, START, link
from app.domain.money import DAY_US
from app.store import read

AT_ONCE = 2_000
"""Entries a look: the store is never held open for longer than these take."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: `first_bad` is the number of the first entry that is not right, None where the entries are
    but a sum beside them is not; `reason` says what is wrong."""

    ok: bool
    entries: int
    first_bad: int | None = None
    reason: str = ""


@dataclass(slots=True)
class _Sums:
    """The books, made up anew."""

    entries: int = 0
    last: bytes = START
    balance: int = 0
    accounts: dict[str, int] = field(default_factory=dict)
    spending: dict[tuple[int, str], int] = field(default_factory=dict)


def verify(store: Path) -> Verdict:
    """Check every entry of the store at `store`. Takes about ten seconds a million; raises what `read.reading` does."""
    sums = _Sums()
    while True:
        with read.reading(store) as connection:
            found = 0
            for row, postings in _next(connection, sums.entries):
                found += 1
                if (reason := _wrong(sums, row, postings)) is not None:
                    return Verdict(False, sums.entries, sums.entries + 1, reason)
            if found < AT_ONCE:
                reason = _wrong_beside(connection, sums)
                return Verdict(reason is None, sums.entries, None, reason or "")


def _next(connection: sqlite3.Connection, after: int) -> Iterator[tuple[sqlite3.Row, dict[str, int]]]:
    until = after + AT_ONCE
    rows = connection.execute(
        "SELECT * FROM entries WHERE id > ? AND id <= ? ORDER BY id",
        (after, until),
    ).fetchall()
    found = connection.execute(
        "SELECT * FROM postings WHERE entry_id > ? AND entry_id <= ? ORDER BY entry_id", (after, until)
    )
    postings = {
        number: {p["account"]: p["amount"] for p in group} for number, group in groupby(found, itemgetter("entry_id"))
    }
    for row in rows:
        yield row, postings.get(row["id"], {})


def _wrong(sums: _Sums, row: sqlite3.Row, postings: dict[str, int]) -> str | None:
    """What is wrong with the next entry; None, and it is added to the sums, if nothing is."""
    if row["id"] != sums.entries + 1:
        return "it is missing"
    if link(sums.last, [row[name] for name in CHAINED], postings) != row["hash"]:
        return "it is not what was written"
    if sum(postings.values()):
        return "its postings do not sum to zero"
    if row["kind"] not in ("hold", "release"):
        sums.balance += row["amount"]
    if row["balance"] != sums.balance:
        return "its balance does not follow from the one before"
    sums.entries, sums.last = row["id"], row["hash"]
    for account, amount in postings.items():
        sums.accounts[account] = sums.accounts.get(account, 0) + amount
    if row["kind"] in ("charge", "refund"):
        day = row["at"] // DAY_US, row["deployment_id"]
        sums.spending[day] = sums.spending.get(day, 0) - row["amount"]
    return None


def _wrong_beside(connection: sqlite3.Connection, sums: _Sums) -> str | None:
    """What is wrong with the balances and the spending that are kept beside the entries."""
    accounts = {row["id"]: row["balance"] for row in connection.execute("SELECT * FROM accounts")}
    for account in sorted(accounts.keys() | sums.accounts.keys()):
        if accounts.get(account) != sums.accounts.get(account):
            return f"the balance of `{account}` is not the sum of its postings"
    spending = {(r["day"], r["deployment_id"]): r["amount"] for r in connection.execute("SELECT * FROM spending")}
    if spending != sums.spending:
        return "what was spent by day is not the sum of the charges"
    return None
