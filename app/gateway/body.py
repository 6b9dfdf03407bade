"""The body of a request: parsed once, strictly, and written anew, so that what was checked is what is sent."""

import json
import re
from typing import Any

from app.domain.text import safe
from app.gateway.errors import EdgeError

CONTAINERS_LIMIT = 100_000
"""The most objects and arrays in one body. Beyond it parsing alone would hold up everybody else's streams."""

_BLANK = " \t\r\n"
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def parse_object(body: bytes, nesting: int) -> dict[str, Any]:
    """The JSON object in `body`, at most `nesting` levels deep.

    Stricter than `json.loads`: UTF-8 only, no key twice in one object (parsers disagree on which one counts), no NaN
    or Infinity. Raises INVALID_REQUEST for anything else; never RecursionError.
    """
    _check_nesting(body, nesting)
    try:
        text = body.decode().strip(_BLANK)
        value, end = _decode(text)
        if end != len(text):
            raise ValueError(f"there is more after character {end}")
    except UnicodeDecodeError:
        raise EdgeError("INVALID_REQUEST", "The body is not UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise EdgeError("INVALID_REQUEST", f"The body is not valid JSON: {safe(str(error), 200)}.") from None
    if not isinstance(value, dict):
        raise EdgeError("INVALID_REQUEST", "The body must be a JSON object.")
    return value


def write_object(value: dict[str, Any]) -> bytes:
    """`value` as compact ASCII JSON. Raises INVALID_REQUEST for a number too large for JSON (`1e999`)."""
    try:
        return _encode(value).encode()
    except ValueError:
        raise EdgeError("INVALID_REQUEST", "The body holds a number that is out of range.") from None


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise EdgeError("INVALID_REQUEST", f"`{safe(twice, 60)}` is given twice.", param=safe(twice, 60))
    return value


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant).raw_decode


def _check_nesting(body: bytes, limit: int) -> None:
    opened = body.count(b"[") + body.count(b"{")
    if opened <= limit:
        return
    depth = containers = 0
    for match in _BRACKETS.finditer(_STRINGS.sub(b"", body)):
        if match[0] in b"[{":
            depth += 1
            containers += 1
            if depth > limit:
                raise EdgeError("INVALID_REQUEST", f"The body is nested deeper than {limit} levels.")
            if containers > CONTAINERS_LIMIT:
                raise EdgeError("INVALID_REQUEST", f"The body holds more than {CONTAINERS_LIMIT} objects and arrays.")
        else:
            depth -= 1
