"""A finding: what one line of output proves, with the numbers in it."""

import re
from dataclasses import dataclass, field
from typing import Literal

from app.domain.normalise import mask
from app.domain.text import safe

EVIDENCE_LIMIT = 300
"""Characters of evidence that are kept."""

Kind = Literal["failure", "milestone", "recovered"]
Captured = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something recognised in one line of output, or in an exit.

    `code` is one of the catalogue, for a milestone its stage (`weights`, `capture`, …). `line` counts from 1, `offset`
    is the global offset of its first byte; both are None for what no line says. `evidence` is that line, safe to show.
    `captured` holds numbers and names of it: sizes in bytes, `requested`, `free`, `limit`, `port`, `flag`, `xid`;
    `fraction` for a milestone that says how far it is.
    """

    rule: str
    code: str
    kind: Kind
    line: int | None
    evidence: str
    captured: Captured = field(default_factory=dict)
    offset: int | None = None


_STAGES = {
    "start": "starting",
    "download": "downloading",
    "weights": "reading the weights",
    "compile": "compiling",
    "kv": "KV cache",
    "capture": "capturing graphs",
    "warmup": "warming up",
    "ready": "listening",
    "stop": "shutting down",
}


def label(finding: Finding) -> str:
    """What was found, in a word or two: a code, or the stage and how far it is: `reading the weights 40 %`."""
    if finding.kind == "recovered":
        return f"recovered from {finding.code}"
    if finding.kind == "failure":
        return finding.code
    fraction = finding.captured.get("fraction")
    word = _STAGES[finding.code]
    return word if fraction is None else f"{word} {round(float(fraction) * 100)} %"


_SIZE = re.compile(r"([\d.]+) ?([KMGT]?)(i?)(B|bytes)?", re.IGNORECASE)


def captured(found: re.Match[str]) -> Captured:
    """The named groups of a match: sizes with a unit in bytes, other numbers as they are, the rest as safe text.

    `percent`, or `done` of `total`, become `fraction`, from 0 to 1.
    """
    values: Captured = {name: _value(text.strip()) for name, text in found.groupdict().items() if text is not None}
    percent, done, total = (values.pop(name, None) for name in ("percent", "done", "total"))
    if isinstance(percent, int | float):
        values["fraction"] = min(1.0, percent / 100)
    elif isinstance(done, int | float) and isinstance(total, int | float) and total:
        values["fraction"] = min(1.0, done / total)
    return values


def _value(text: str) -> str | int | float:
    plain = text.replace(",", "")
    size = _SIZE.fullmatch(plain)
    try:
        if size is None:
            return safe(mask(text), EVIDENCE_LIMIT)
        if size[2] or size[4]:
            return int(float(size[1]) * 1024 ** " kmgt".index(size[2].lower() or " "))
        return int(plain) if plain.isdigit() else float(plain)
    except ValueError:
        return safe(mask(text), EVIDENCE_LIMIT)


def evidence(text: str) -> str:
    """`text` as evidence: short, safe to show, without secrets."""
    return safe(mask(text.strip()[: EVIDENCE_LIMIT * 4]), EVIDENCE_LIMIT)
