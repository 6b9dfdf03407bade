"""The chain of the ledger: each entry is hashed together with the one before it, so that none can change unnoticed."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

START = bytes(32)
"""What the first entry is chained to."""
CHAINED = (
    "id", "at", "kind", "key", "deployment_id", "attempt_id", "amount", "quantity", "unit", "price", "starts", "ends",
    "estimated", "actor", "note", "balance",
)  # fmt: skip
"""The columns of an entry that its hash covers, in order."""


def link(previous: bytes, entry: Sequence[object], postings: Mapping[str, int]) -> bytes:
    """The hash of an entry, given as the values of `CHAINED`, with its postings, behind the entry hashed `previous`."""
    text = json.dumps([*entry, sorted(postings.items())], separators=(",", ":"))
    return sha256(previous + text.encode("ascii")).digest()
