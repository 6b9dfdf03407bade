"""What was recognised in a log: findings as lines, and as `--json` prints them."""

from collections.abc import Sequence
from typing import Any

from app.domain.failures import CATALOGUE
from app.domain.findings import Finding, Kind, label
from app.render.cells import Cell, Line, Tone, line

SIGNS: dict[Kind, tuple[str, Tone]] = {"failure": ("✖", "bad"), "recovered": ("●", "good"), "milestone": ("◔", "dim")}


def document(verdict: Finding | None, findings: Sequence[Finding]) -> dict[str, Any]:
    """What `scan --json` prints."""
    return {
        "code": verdict.code if verdict else None,
        "line": verdict.line if verdict else None,
        "evidence": verdict.evidence if verdict else None,
        "findings": [finding_document(finding) for finding in findings],
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """One finding as `--json` prints it. The code of a milestone is its stage."""
    return {
        "code": finding.code,
        "line": finding.line,
        "evidence": finding.evidence,
        "kind": finding.kind,
        "rule": finding.rule,
        "captured": finding.captured,
    }


def trouble(findings: Sequence[Finding]) -> int:
    """How many lines tell of a failure or a recovery."""
    return sum(finding.kind != "milestone" and finding.line is not None for finding in findings)


def finding_line(finding: Finding) -> Line:
    """One finding: where, what, and the line that says so."""
    sign, tone = SIGNS[finding.kind]
    where = f"{finding.line:>9,}" if finding.line is not None else " " * 9
    return line(Cell(where, "dim"), "  ", Cell(f"{sign} {label(finding):<24}", tone), f" {finding.evidence}")


def verdict_lines(verdict: Finding | None, lines: int) -> list[Line]:
    """The cause, what it means and what to do about it; or that none was found in so many `lines`."""
    if verdict is None:
        return [line(Cell("●", "good"), f" No failure in {lines:,} line{'' if lines == 1 else 's'}.")]
    row = CATALOGUE[verdict.code]
    where = f" in line {verdict.line:,}" if verdict.line is not None else ""
    return [
        line(Cell(f"✖ {verdict.code}", "bad"), f"{where}: {row.meaning}"),
        line("  ", verdict.evidence),
        line(Cell(f"  {row.remedy}", "dim")),
    ]
