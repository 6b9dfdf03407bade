"""The ledger as a file that a spreadsheet opens."""

import csv
import os
from pathlib import Path
from typing import TextIO

from app.domain.text import safe
from app.render.ledger import EXPORTED, entry_document
from app.settings import Home
from app.store import bill, read
from app.store.bill import Filter


def export_csv(home: Home, path: Path, currency: str) -> int:
    """Write every entry into `path`, readable by its owner only; how many there are."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        return write_csv(home, file, currency, Filter())


def write_csv(home: Home, file: TextIO, currency: str, wanted: Filter) -> int:
    """Write the entries that are `wanted`, the oldest first; how many there are."""
    with read.reading(home.store) as connection:
        numbers = bill.matching(connection, wanted)[::-1]
        writer = csv.writer(file)
        writer.writerow(EXPORTED)
        for row in bill.entries(connection, numbers):
            writer.writerow([_cell(value) for value in entry_document(dict(row), currency).values()])
    return len(numbers)


def _cell(value: object) -> object:
    """A value for a cell. What a spreadsheet would take for a formula is made text."""
    if not isinstance(value, str):
        return value
    text = safe(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
