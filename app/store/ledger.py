"""The ledger's writing side: entries with their postings, chained, inside the caller's transaction.

Every function is idempotent by key: the same again changes nothing, something else under the same key is ID_REUSED.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlmodel import Session, SQLModel, col, insert, select

from app.domain.chain import CHAINED, START, link
from app.domain.failures import StokerError
from app.domain.ids import ulid
from app.domain.money import MOST, format_amount
from app.domain.text import clean_text, safe
from app.store.tables import Account, Entry, Posting

Kind = Literal["topup", "hold", "release", "charge", "refund", "adjustment"]
FUNDING = "funding"
AVAILABLE = "available"
# Tables, not classes: a tick posts thousands of entries, and the mapper would take most of the time.
_ADD_ENTRY = insert(SQLModel.metadata.tables[str(Entry.__tablename__)])
_ADD_POSTING = insert(SQLModel.metadata.tables[str(Posting.__tablename__)])
_KNOWN = "SELECT 1 FROM entries WHERE key = ?"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def held(deployment_id: str) -> str:
    """The account of what is set aside for a deployment."""
    return f"held:{deployment_id}"


def spent(deployment_id: str) -> str:
    """The account of what a deployment has cost."""
    return f"spent:{deployment_id}"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: `moves` are its postings by account, in micro-units; the rest as in the table `entries`."""

    kind: Kind
    key: str
    moves: Mapping[str, int]
    actor: str
    deployment_id: str | None = None
    attempt_id: str | None = None
    quantity: int | None = None
    unit: Literal["us", "tokens"] | None = None
    price: int | None = None
    starts: int | None = None
    ends: int | None = None
    estimated: bool = False
    note: str = ""

    @property
    def moved(self) -> dict[str, int]:
        """The postings, without those of nothing."""
        return {account: amount for account, amount in self.moves.items() if amount}

    @property
    def amount(self) -> int:
        """What the entry shows: what was set aside or given back, or what it changed of all the money there is."""
        if self.kind in ("hold", "release"):
            return abs(self.moves.get(AVAILABLE, 0))
        return sum(amount for account, amount in self.moves.items() if _is_money(account))


@dataclass(slots=True)
class Book:
    """The ledger as of `now` (UTC microseconds) within one write transaction."""

    session: Session
    now: int
    _last: tuple[int, bytes, int] | None = None
    _balances: dict[str, int] = field(default_factory=dict)

    def balance(self, account: str) -> int:
        """What is in an account, in micro-units."""
        if account not in self._balances:
            found = self.session.exec(select(Account.balance).where(Account.id == account)).first()
            self._balances[account] = found or 0
        return self._balances[account]

    @property
    def next_number(self) -> int:
        """The number that the next entry will have."""
        return self._end()[0] + 1

    def post(self, draft: Draft) -> bool:
        """Write an entry; False if there is one of its key with the same content already.

        Raises ID_REUSED if that one has other content.
        """
        moved = draft.moved
        if sum(moved.values()) or len(moved) < 2:
            raise ValueError(f"the postings of {draft.key} do not balance: {moved}")
        if self._has(draft, moved):
            return False
        number = self.next_number
        _, previous, balance = self._end()
        amount = draft.amount
        balance += 0 if draft.kind in ("hold", "release") else amount
        values = {
            "id": number,
            "at": self.now,
            "kind": draft.kind,
            "key": draft.key,
            "deployment_id": draft.deployment_id,
            "attempt_id": draft.attempt_id,
            "amount": amount,
            "quantity": draft.quantity,
            "unit": draft.unit,
            "price": draft.price,
            "starts": draft.starts,
            "ends": draft.ends,
            "estimated": int(draft.estimated),
            "actor": clean_text(draft.actor),
            "note": clean_text(draft.note),
            "balance": balance,
        }
        hashed = link(previous, [values[name] for name in CHAINED], moved)
        rows = [{"entry_id": number, "account": account, "amount": value} for account, value in moved.items()]
        connection = self.session.connection()
        connection.execute(_ADD_POSTING, rows)
        connection.execute(_ADD_ENTRY, {**values, "hash": hashed})
        for account, value in moved.items():
            if account in self._balances:
                self._balances[account] += value
        self._last = number, hashed, balance
        return True

    def _has(self, draft: Draft, moved: Mapping[str, int]) -> bool:
        if self.session.connection().exec_driver_sql(_KNOWN, (draft.key,)).first() is None:
            return False
        found = self.session.exec(select(Entry).where(Entry.key == draft.key)).one()
        rows = self.session.exec(select(Posting).where(Posting.entry_id == found.id)).all()
        same = {row.account: row.amount for row in rows} == moved and found.kind == draft.kind
        if not same or (found.starts, found.ends) != (draft.starts, draft.ends):
            text = f"`{safe(draft.key.partition(':')[2], 80)}` stands for {format_amount(found.amount)} already."
            raise StokerError("ID_REUSED", text)
        return True

    def _end(self) -> tuple[int, bytes, int]:
        """Number, hash and balance of the last entry."""
        if self._last is None:
            row = self.session.exec(
                select(Entry.id, Entry.hash, Entry.balance).order_by(col(Entry.id).desc()).limit(1)
            ).first()
            self._last = (0, START, 0) if row is None else (row[0], row[1], row[2])
        return self._last


def top_up(book: Book, amount: int, actor: str, key: str | None = None) -> bool:
    """Put money in; False if that was done under `key` before. Raises ID_REUSED, CONFIG_INVALID."""
    if not 0 < amount <= MOST:
        raise StokerError("CONFIG_INVALID", "A top-up is of more than nothing, and of a billion at most.")
    if key is not None and not _ID.fullmatch(key):
        raise StokerError("CONFIG_INVALID", f"`{safe(key, 80)}` is no id.", "Use up to 64 letters, digits and . _ : -")
    moves = {FUNDING: -amount, AVAILABLE: amount}
    return book.post(Draft("topup", f"topup:{key or ulid()}", moves, actor))


def hold(book: Book, deployment_id: str, amount: int, key: str, actor: str) -> int:
    """Set money aside until `amount` is held for a deployment; what is missing, 0 when it is held.

    Check and hold are the caller's one transaction, so that two launches never hold the same money.
    """
    wanted = amount - book.balance(held(deployment_id))
    if wanted <= 0:
        return 0
    missing = wanted - book.balance(AVAILABLE)
    if missing > 0:
        return missing
    moves = {AVAILABLE: -wanted, held(deployment_id): wanted}
    book.post(Draft("hold", f"hold:{key}", moves, actor, deployment_id))
    return 0


def release(book: Book, deployment_id: str, actor: str) -> None:
    """Give back what is still held for a deployment."""
    amount = book.balance(held(deployment_id))
    if amount > 0:
        moves = {held(deployment_id): -amount, AVAILABLE: amount}
        key = f"release:{deployment_id}:{book.next_number}"
        book.post(Draft("release", key, moves, actor, deployment_id))


def charge_moves(book: Book, deployment_id: str, amount: int) -> dict[str, int]:
    """The postings of a charge: what is held for the deployment is used up first."""
    own = min(amount, max(0, book.balance(held(deployment_id))))
    return {held(deployment_id): -own, AVAILABLE: own - amount, spent(deployment_id): amount}


def _is_money(account: str) -> bool:
    return account == AVAILABLE or account.startswith("held:")
