"""What people type for tokens, sizes and lengths of time, as numbers; ValueError has a sentence to show."""

import re
from datetime import datetime

from app.domain.text import safe

_TOKENS = re.compile(r"([0-9]{1,10})([kK]?)")
_SIZE = re.compile(r"([0-9]{1,15})([kmgtKMGT]?)(i?[bB])?")
_DURATION = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_S = 100 * 365 * 86_400


def tokens(text: str) -> int:
    """A positive number of tokens: `4096`; `32k` is 32768."""
    match = _TOKENS.fullmatch(text)
    if match is None or not (number := int(match[1]) * (1024 if match[2] else 1)):
        raise ValueError(f"`{safe(text, 80)}` is no number of tokens; give a positive integer, or 32k.")
    return number


def size(text: str) -> int:
    """Bytes: `400M`, `2G`; units are powers of 1024, as container runtimes read them."""
    match = _SIZE.fullmatch(text)
    number = int(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0
    if not 0 < number < 2**60:
        raise ValueError(f"`{safe(text, 80)}` is no size; give bytes, or 400M, or 2G.")
    return number


def duration_us(text: str) -> int:
    """Microseconds of a length of time: `90s`, `15m`, `24h`, `7d`, `1h30m`."""
    if _DURATION.fullmatch(text):
        seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", text))
        if seconds <= _LONGEST_S:
            return seconds * 1_000_000
    raise ValueError(f"`{safe(text, 80)}` is no length of time; give 90s, 15m, 24h or 7d.")


def moment_us(text: str, now: int, *, past: bool = False) -> int:
    """A time in UTC microseconds: a date of this machine's zone, or a length of time from `now` (`past`: before it).

    Unless `past`, it must still be to come.
    """
    way = -1 if past else 1
    at = now + way * duration_us(text) if _DURATION.fullmatch(text) else _date_us(text)
    if not past and at <= now:
        raise ValueError(f"`{safe(text, 80)}` is past.")
    return max(0, at)


def _date_us(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1_000_000)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"`{safe(text, 80)}` is no time; give 24h, 7d or 2030-01-31T12:00.") from None
