"""One request through the gateway, step by step."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.domain.money import Price, format_amount, request_cost
from app.render.cells import Cell, Line, Tone, line, table
from app.render.words import UNKNOWN, latency, moment


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `requests` as `request --json` prints it."""
    return {
        "request_id": row["request_id"],
        "status": row["status"],
        "code": row["code"],
        "deployment": row["deployment"],
        "instance": row["instance"],
        "steps": [{key: step.get(key, "") for key in ("name", "at", "detail")} for step in json.loads(row["steps"])],
        "tokens_in": row["tokens_in"],
        "tokens_out": row["tokens_out"],
        "cost_micro": cost(row),
    }


def cost(row: Mapping[str, Any]) -> int:
    """What a request cost by itself, in micro-units: nothing unless its deployment is billed by token."""
    price = Price(**json.loads(row["price"] or "{}"))
    return request_cost(price, row["tokens_in"], row["tokens_out"]) if row["attempt_id"] is not None else 0


def request_lines(row: Mapping[str, Any], document: Mapping[str, Any]) -> list[Line]:
    """The same for a person: outcome, figures, then every step with the time since the first."""
    good = row["status"] < 400
    verdict = f"{row['status']}" + (f" {row['code']}" if row["code"] else "")
    where = " on ".join(filter(None, (document["deployment"], document["instance"]))) or UNKNOWN
    lines = [
        line("request   ", Cell(row["request_id"], "accent"), f"   {moment(row['started_at'])}"),
        line("outcome   ", Cell(f"{'●' if good else '✖'} {verdict}", "good" if good else "bad")),
        line(f"served by {where}"),
        line(f"figures   {_figures(row)}"),
    ]
    steps = [(_since(row, step["at"]), step["name"], str(step["detail"])) for step in document["steps"]]
    lines.append(line("checks    ", *_checks(row, document["steps"])))
    return lines + ([line(), *table(("AFTER", "STEP", "DETAIL"), steps, right=("AFTER",))] if steps else [])


def log_lines(texts: Sequence[str]) -> list[Line]:
    """What the engine wrote while it had the request."""
    if not texts:
        return []
    return [
        line(),
        line(Cell("the engine's log meanwhile", "dim")),
        *(line(Cell(f"  {text}", "dim")) for text in texts),
    ]


def _checks(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Iterator[Cell]:
    """The checks in their order: those passed, the one that refused, those not reached."""
    passed = {step["name"] for step in steps}
    last = max((n for n, (name, _) in enumerate(_ORDER) if name in passed), default=-1)
    refused = last + 1 if "refused" in passed else None
    for n, (_name, word) in enumerate(_ORDER):
        sign, tone = _SIGNS["refused" if n == refused else "passed" if n <= last else "not reached"]
        yield Cell(f"{sign} {word}{'   ' if n < len(_ORDER) - 1 else ''}", tone)


_SIGNS: dict[str, tuple[str, Tone]] = {"passed": ("●", "good"), "refused": ("✖", "bad"), "not reached": ("–", "dim")}
_ORDER = (
    ("received", "id"),
    ("key", "key"),
    ("body", "body"),
    ("model", "model"),
    ("context", "size and context"),
    ("route", "replica"),
)
"""Steps that tell of a check, and what is checked there, in the order of the edge (DESIGN §8)."""


def _figures(row: Mapping[str, Any]) -> str:
    ttft, took = (UNKNOWN if row[key] is None else latency(row[key]) for key in ("ttft_us", "duration_us"))
    about = "about " if row["estimated"] else ""
    paid = f" · costs {format_amount(amount)}" if (amount := cost(row)) else ""
    return f"TTFT {ttft} · took {took} · {about}{row['tokens_in']} in {row['tokens_out']} out{paid}"


def _since(row: Mapping[str, Any], at: object) -> str:
    return latency(at - row["started_at"]) if isinstance(at, int) else UNKNOWN
