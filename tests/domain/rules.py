"""The rules that ship, made ready once, and what they say of a few lines."""

import tomllib
from importlib import resources

from app.domain.detector import Detector, Rules
from app.domain.findings import Finding
from app.domain.rules import parse_rules
from app.domain.verdict import cause

SHIPPED = parse_rules(tomllib.loads((resources.files("assets") / "failures.toml").read_text("utf-8")))
RULES = Rules(SHIPPED)


def detect(*lines: str, engine: str | None = None, limited: bool = False) -> tuple[Detector, list[Finding]]:
    """A detector that has read `lines` to their end, and what it found."""
    detector = Detector(RULES, engine, limited=limited)
    found = list(detector.feed("".join(f"{line}\n" for line in lines).encode()))
    return detector, [*found, *detector.end()]


def verdict(*lines: str, engine: str | None = None) -> str | None:
    """The code of what `lines` prove, None if they prove nothing."""
    detector, _ = detect(*lines, engine=engine)
    found = cause(detector.standing.values())
    return found.finding.code if found else None
