"""Keys, refusals and requests as rows of the Access screen: cells without a layout."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.render.cells import Cell, Line, Tone, line
from app.render.keys import state_tone
from app.render.words import UNKNOWN, ago, latency, until

REFUSALS_SHOWN = 3
_LEFT = 499
"""The status of a request whose client left before the answer was complete."""


def key_row(document: Mapping[str, Any], now: int) -> Line:
    """Prefix, name, scope, state, expiry, last use of a key; `document` as `keys ls --json` has it."""
    scope = document["scope"]
    return line(
        Cell(document["prefix"], "plain"),
        document["name"] or UNKNOWN,
        "all" if scope is None else ", ".join(scope) or "none left",
        Cell(document["state"], state_tone(document["state"])),
        until(now, document["expires_at"]) if document["expires_at"] else "never",
        ago(now, document["last_used"]),
    )


def request_row(row: Mapping[str, Any], now: int) -> Line:
    """When, id, key, deployment, status, time to the first byte, duration, tokens in and out of a request."""
    about = "~" if row["estimated"] else ""
    served = row["attempt_id"] is not None
    return line(
        Cell(ago(now, row["started_at"]), "dim"),
        row["request_id"],
        row["key"] or row["key_id"] or UNKNOWN,
        row["deployment"] or UNKNOWN,
        _outcome(row),
        UNKNOWN if row["ttft_us"] is None else latency(row["ttft_us"]),
        UNKNOWN if row["duration_us"] is None else latency(row["duration_us"]),
        f"{about}{row['tokens_in']}" if served else UNKNOWN,
        f"{about}{row['tokens_out']}" if served else UNKNOWN,
    )


def refusal_lines(rows: Sequence[Mapping[str, Any]], now: int, most: int = REFUSALS_SHOWN) -> list[Line]:
    """What went wrong in the last hour, the most frequent first, in at most `most` lines under a heading."""
    if not rows:
        return [line(Cell("Nothing was refused and nothing failed in the last hour.", "dim"))]
    lines = [line(Cell("refused or failed in the last hour", "dim"))]
    width = max(len(str(row["count"])) for row in rows)
    for row in rows[:most]:
        lines.append(
            line(
                f"{row['count']:>{width}}  ",
                Cell(row["code"], "look"),
                f"  {row['deployment'] or 'no deployment'}",
                Cell(f"  last {ago(now, row['last'])}", "dim"),
            )
        )
    if len(rows) > most:
        rest = sum(row["count"] for row in rows[most:])
        lines.append(line(Cell(f"{rest} more of {len(rows) - most} other kinds", "dim")))
    return lines


def searchable(row: Mapping[str, Any]) -> str:
    """What a filter looks at in a request."""
    names = ("request_id", "key", "key_id", "deployment", "instance", "code", "status")
    return " ".join(str(row[name] or "") for name in names).lower()


def _outcome(row: Mapping[str, Any]) -> Cell:
    status = int(row["status"])
    word = "left early" if status == _LEFT else row["code"] or ""
    glyph, tone = _GLYPHS[0 if status < 400 else 1 if status == _LEFT else 2]
    return Cell(f"{glyph} {status} {word}".rstrip(), tone)


_GLYPHS: tuple[tuple[str, Tone], ...] = (("●", "good"), ("○", "dim"), ("✖", "bad"))
