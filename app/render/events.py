"""The timeline of a deployment."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.render.cells import Cell, Line, line, table
from app.render.words import clock, moment

_GOOD = ("DEPLOYED", "running/serving")
_BAD = ("FAILED", "MUST_REDOWNLOAD", "failed/failed")


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `events` as `events --json` prints it."""
    names = {"from": "from_state", "to": "to_state"}
    return {key: row[names.get(key, key)] for key in ("at", "subject", "from", "to", "cause", "actor", "detail")}


def timeline(documents: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Events as lines: when, who, what became of it, and why."""
    body = [(moment(d["at"]), d["subject"], transition(d), _why(d)) for d in documents]
    return table(("TIME", "SUBJECT", "CHANGE", "WHY"), body)


def transition(event: Mapping[str, Any]) -> Cell:
    """`DEPLOYING → DEPLOYED`; a wish changes nothing at once, so it shows no arrow."""
    before, after = event["from"], event["to"]
    text = after if before in (None, after) else f"{before} → {after}"
    return Cell(text, "good" if after in _GOOD else "bad" if after in _BAD else "plain")


def recent(documents: Sequence[Mapping[str, Any]], now: int) -> list[Line]:
    """Events newest first, in little room: the time of day or the day, and of an instance's states only the phases."""
    body = [(clock(d["at"], now), d["subject"], _phases(d), _why(d)) for d in reversed(documents)]
    return table(("TIME", "SUBJECT", "CHANGE", "WHY"), body)


def _phases(event: Mapping[str, Any]) -> Cell:
    change = transition(event)
    words = (state.rpartition("/")[2].replace("_", " ") for state in change.text.split(" → "))
    return Cell(" → ".join(words), change.tone)


def follow_line(event: Mapping[str, Any]) -> Line:
    """One event on its own, for a list that grows."""
    return line(Cell(moment(event["at"]), "dim"), f"  {event['subject']}  ", transition(event), f"  {_why(event)}")


def _why(event: Mapping[str, Any]) -> str:
    cause: str = event["cause"]
    actor = "" if event["actor"] == "server" else f" (by {event['actor']})"
    return cause + actor + (f": {event['detail']}" if event["detail"] else "")
