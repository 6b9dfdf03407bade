"""Named checks, of a launch or of the whole installation."""

from collections.abc import Sequence
from typing import Protocol

from app.render.cells import Cell, Line, line, table
from app.render.states import result_cell


class CheckLike(Protocol):
    """What is shown of a check; `app.launch.checks.Check` is one."""

    @property
    def name(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def code(self) -> str | None: ...
    @property
    def remedy(self) -> str: ...


def check_lines(checks: Sequence[CheckLike], *, codes: bool = False) -> list[Line]:
    """A line a check, and a remedy under each that did not pass; with `codes` also the code of what failed."""
    body = [(result_cell(c.result), c.name, _told(c) if codes else c.detail) for c in checks]
    lines: list[Line] = []
    for check, shown in zip(checks, table(("RESULT", "CHECK", "DETAIL"), body)[1:], strict=True):
        lines.append(shown)
        if check.remedy and check.result != "pass":
            lines.append(line(f"          {check.remedy}"))
    return lines


def choice_lines(others: Sequence[str]) -> list[Line]:
    """The engines that were not chosen, and why."""
    heads = ("engines", *[""] * (len(others) - 1))
    return [line(f"{head:<9}", Cell(text, "dim")) for head, text in zip(heads, others, strict=True)]


def _told(check: CheckLike) -> str:
    return f"{check.code}: {check.detail}" if check.code and check.result == "fail" else check.detail
