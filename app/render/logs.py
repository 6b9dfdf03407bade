"""What stands above a log: whose it is, whether it is still written, how much of it there is."""

from app.domain.facts import Attempt
from app.render.cells import Cell, Line, line
from app.render.words import ago


def whose(name: str, attempt: Attempt | None, newest: int, engine: str) -> Line:
    """`chat-a  attempt 2 of 3  llama.cpp`; only the name for a log that has no attempts."""
    if attempt is None:
        return line(Cell(name, "accent"))
    of = f" of {newest}" if newest > 1 else ""
    return line(Cell(name, "accent"), f"  attempt {attempt.number}{of}", Cell(f"  {engine}", "dim"))


def how(attempt: Attempt | None, following: bool, problem: str, now: int) -> Cell:
    """Whether more is coming, and whether what is shown goes along with it."""
    if problem:
        return Cell(f"? cannot be read: {problem}", "bad")
    if attempt is not None and attempt.ended_at is not None:
        return Cell(f"○ ended {ago(now, attempt.ended_at)}{_exit(attempt)}", "dim")
    return Cell("● following", "good") if following else Cell("◔ paused", "look")


def how_much(lines: int, complete: bool, matches: int | None, wanted: str, chosen: int, findings: int = 0) -> Line:
    """`12,402,118 lines   3 findings   filter: –`, or how many are selected."""
    found = f"   {findings:,} finding{'' if findings == 1 else 's'}" if findings else ""
    count = Cell(f"{lines:,}{'' if complete else '+'} line{'' if lines == 1 and complete else 's'}{found}")
    if chosen:
        return line(Cell(f"{chosen:,} selected", "accent"), "   ", count)
    if matches is None:
        return line(count, Cell("   filter: –", "dim"))
    return line(count, "   filter: ", Cell(wanted, "accent"), f" ({matches:,})")


def _exit(attempt: Attempt) -> str:
    if attempt.exit_signal is not None:
        return f", signal {attempt.exit_signal}"
    return "" if attempt.exit_code is None else f", exit {attempt.exit_code}"
