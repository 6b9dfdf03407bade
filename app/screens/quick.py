"""Wishes at one key: the first launch, and what a row of the fleet can be told. Heavy imports wait for a worker."""

from typing import TYPE_CHECKING, Literal

from app.launch.options import Options

if TYPE_CHECKING:
    from sqlmodel import Session

    from app.console import Console

Verb = Literal["stop", "start", "restart", "remove"]


def change_wish(verb: Verb, name: str, session: "Session") -> None:
    """Wish the deployment `name` to stop, start, restart or go."""
    from app.reach import actor
    from app.store import wishes

    change = {"stop": wishes.stop, "start": wishes.start, "restart": wishes.restart, "remove": wishes.remove}
    change[verb](session, name, actor())


def roll_back(name: str, number: int, session: "Session") -> None:
    """Wish the deployment `name` to run its variant `number` again."""
    from app.reach import actor
    from app.store import wishes

    wishes.rollback(session, name, number, actor())


def launch_bundled(console: "Console") -> None:
    """Wish for the bundled model with everything as it is by default, and put the cursor on it."""
    options = Options(model="smollm2")

    def change(session: "Session") -> str:
        from app.launch.planning import plan_launch
        from app.launch.record import record_launch
        from app.reach import actor
        from app.settings import load_presets

        plan = plan_launch(options, console.home, load_presets(console.home), console.names)
        return record_launch(session, console.home, plan, options, actor()).name

    def done(name: str) -> None:
        console.selected = name

    console.wish("launch smollm2", change, done)
