"""Text from outside: cleaned once at the door for storage, and again on its way to a terminal.

Every string that did not come from our own source (engine output, model cards, HTTP headers, file names, answers)
passes `clean_text` before it is stored and `safe` before it is shown. They are two functions because storage keeps
what a terminal must never see (a tab, a long line), and because a value may reach a screen without having been stored.
"""

import re
import unicodedata

# C0 except tab and newline, DEL, C1, and the bidi controls that can make a line read differently from what it is.
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff{_BIDI}]")
# Whole escape sequences go with their parameters, so that `ESC[31mred` reads `red` and not `[31mred`.
# No sequence reaches into the next one: so a line of nothing but openings takes linear time, as in a terminal.
_STRING_SEQUENCE = r"(?:\x1b[P\]X^_]|[\x90\x9d\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]{0,4096}(?:\x07|\x1b\\|\x9c|$)"
_CONTROL_SEQUENCE = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_ESCAPE = re.compile(rf"{_STRING_SEQUENCE}|{_CONTROL_SEQUENCE}|\x1b[ -/]*[0-~]")
_OPENING = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")

CLEAN_LIMIT = 65_536
"""Longest text kept in a row, in characters; what is cut is marked with an ellipsis."""


def clean_text(text: str, limit: int = CLEAN_LIMIT) -> str:
    """`text` made fit for a database row: no NUL, no lone surrogate, no escape sequence, at most `limit` characters."""
    # What is left around a sequence that was taken out could be one again, so no opening stays either.
    text = _OPENING.sub("\ufffd", _ESCAPE.sub("", text.replace("\x00", "")))
    text = _SURROGATE.sub("\ufffd", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe(text: str, limit: int = 4_096) -> str:
    """`text` made fit for one line of a terminal: nothing in it can move the cursor, colour, link or reorder.

    Escape sequences are removed, line breaks and tabs become spaces, any other control or bidi character becomes
    `\N{REPLACEMENT CHARACTER}`. The result is idempotent under `safe` and at most `limit` characters long.
    """
    if text.isprintable():  # none of what follows would be in it
        return text if len(text) <= limit else text[: limit - 1] + "…"
    text = _ESCAPE.sub("", text[: limit * 8])
    text = _SURROGATE.sub("\ufffd", text).replace("\r\n", " ").replace("\n", " ").replace("\t", " ").replace("\r", " ")
    text = _UNSAFE.sub("\ufffd", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe_block(text: str, limit: int = 1_000_000) -> str:
    """`safe` for text that may span lines: newlines are kept, every line is made safe."""
    return "\n".join(safe(line, limit) for line in text[:limit].split("\n"))


def cell_width(text: str) -> int:
    """Terminal columns that `text` takes: wide characters count two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
