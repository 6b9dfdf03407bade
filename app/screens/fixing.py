"""Choosing what is to mend a failure: the options as a list, the one that was picked done or copied."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from app.domain.facts import Deployment
from app.domain.fix import Fix
from widgets.asking import PickDialog
from widgets.columns import Column
from widgets.spans import Line

if TYPE_CHECKING:
    from sqlmodel import Session

    from app.screens.base import ConsoleScreen

_COLUMNS = (
    Column("k", "", 2, right=True, priority=9),
    Column("title", "FIX", minimum=20, maximum=48, priority=8),
    Column("detail", "", minimum=16, priority=7),
)


def choose_fix(screen: "ConsoleScreen", deployment: Deployment, fixes: Sequence[Fix], number: str = "") -> None:
    """Show the options of `deployment` over `screen`; the one with `number`, if that is given, is done at once."""
    console = screen.console
    by_number = {str(fix.k): fix for fix in fixes}

    def do(key: str | None) -> None:
        if key is not None:
            _do(screen, deployment, by_number[key])

    def copy(key: str) -> None:
        fix = by_number[key]
        console.copy(fix.command or f"stoker fix {deployment.name} {fix.k}", "command")

    if not fixes:
        screen.say(f"{deployment.name} has nothing that needs mending.", "dim")
    elif number in by_number:
        do(number)
    else:
        title: Line = screen.line((f"Mend {deployment.name}", "strong"), ("  enter or a number does it", "dim"))
        rows = [(str(fix.k), _row(screen, fix)) for fix in fixes]
        keys = [("y", "copy the command", copy)]
        console.push_screen(PickDialog(title, _COLUMNS, rows, keys=keys, glyphs=console.glyphs), do)


def _row(screen: "ConsoleScreen", fix: Fix) -> Line:
    detail = f"$ {fix.detail}" if fix.command else fix.detail
    return screen.line((str(fix.k), "accent"), (fix.title, "plain"), (detail, "dim"))


def _do(screen: "ConsoleScreen", deployment: Deployment, fix: Fix) -> None:
    """Wish for it; a command is copied, because it is a person's to run."""
    if fix.command:
        screen.console.copy(fix.command, "command")
    else:
        screen.console.wish(f"fix {deployment.name}: {fix.title}", partial(_wish, screen, deployment, fix))


def _wish(screen: "ConsoleScreen", deployment: Deployment, fix: Fix, session: "Session") -> int:
    from app.launch.mend import apply_fix
    from app.reach import actor

    return apply_fix(session, screen.console.home, deployment, fix, actor())
