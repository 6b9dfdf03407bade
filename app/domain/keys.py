"""The form of an API key: `stk_<8 public>_<43 secret><6 checksum>`, base 62 throughout.

The prefix and the checksum let secret scanners, and people, tell a key from a lookalike without asking the store
(GitHub's tokens are built the same way). The secret is 256 random bits, so a plain SHA-256 is enough at rest.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass, field

RANDOM_BYTES = 38
"""How much randomness one key takes: 32 bytes of secret, 6 of public part."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"stk_([0-9A-Za-z]{8})_[0-9A-Za-z]{43}([0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment its text is known. `digest` is what the store keeps."""

    id: str
    text: str = field(repr=False)
    digest: bytes


def make_key(randomness: bytes) -> NewKey:
    """The key made from `RANDOM_BYTES` random bytes. Raises ValueError for any other number of bytes."""
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes, not {len(randomness)}")
    public = _base62(int.from_bytes(randomness[32:]), 8)
    body = f"stk_{public}_{_base62(int.from_bytes(randomness[:32]), 43)}"
    text = body + _checksum(body)
    return NewKey(public, text, digest(text.encode()))


def parse_key(text: str) -> str | None:
    """The public part of `text`, None if it is not a key: wrong form, or a checksum that does not match."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-6]) != match[2]:
        return None
    return match[1]


def digest(text: bytes) -> bytes:
    """The 32 bytes that the store keeps of a key."""
    return hashlib.sha256(text).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
