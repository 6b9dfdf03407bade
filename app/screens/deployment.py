"""Deployment: one of them in detail. How its attempt went, its variants, where it answers, its traffic and its past."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from app.domain.fleet import Fleet
from app.domain.flight import Mark
from app.domain.text import safe
from app.feed import traffic
from app.flights import record_of
from app.history import History
from app.launch.mend import KnownFixes
from app.render.deployment import change_words
from app.render.detail import picked, words_of
from app.render.keys import curl, snippet
from app.screens import bundling
from app.screens.base import ConsoleScreen, bindings
from app.screens.fixing import choose_fix
from app.screens.overview import Facts, Overview
from app.screens.quick import roll_back
from app.settings import Home
from app.store import read
from widgets.chrome import Rule
from widgets.columns import Column
from widgets.lines import Lines
from widgets.table import LineTable

KEY = "YOUR_KEY"
"""Stands for a key in what is copied: a key is shown once, when it is made, and no screen has it again."""

_FRAME = 4
"""Lines of header, rule, message and keys."""
_EVENTS_LEAST = 5
_VARIANTS_LEAST = 2
_VARIANTS_NARROW = 4
_VARIANTS = (
    Column("number", "VARIANT", 9, priority=3),
    Column("made", "MADE", 8, priority=1),
    Column("what", "WHAT", minimum=16, priority=2),
)


class DeploymentScreen(ConsoleScreen):
    """Reached from the fleet with enter."""

    NAME = "deployment"
    TAB = "1"
    BINDINGS: ClassVar[list[BindingType]] = bindings("deployment")
    DEFAULT_CSS = """
    DeploymentScreen #columns { height: 1; }
    DeploymentScreen #left { width: 1fr; }
    DeploymentScreen #right { width: 1fr; margin-left: 2; height: 100%; }
    DeploymentScreen #events { height: 1fr; }
    DeploymentScreen.-narrow #right, DeploymentScreen.-narrow #attempt { display: none; }
    DeploymentScreen.-none #columns, DeploymentScreen.-none #line, DeploymentScreen.-none #events { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._fleet: Fleet | None = None
        self._facts: Facts | None = None
        self._history: History | None = None
        self._known: KnownFixes | None = None
        self._listed: tuple[Any, ...] = ()
        self._missing = ""
        self.add_class("-none")

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield Lines(glyphs=glyphs, id="top")
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield Lines(glyphs=glyphs, id="attempt")
                yield LineTable(_VARIANTS, glyphs=glyphs, id="variants")
            yield Lines(glyphs=glyphs, id="right")
        yield Rule(glyphs=glyphs, id="line")
        yield Lines(glyphs=glyphs, focusable=True, id="events")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(LineTable).focus()

    def on_resize(self) -> None:
        self._draw()

    def read(self, home: Home, fleet: Fleet | None) -> tuple[str | None, Facts | None]:
        name = self.console.selected
        deployment = next((d for d in fleet.deployments if d.name == name), None) if fleet is not None else None
        if fleet is None or deployment is None:
            return name, None
        if self._history is None or self._history.deployment_id != deployment.id:
            self._history = History(deployment.id)
        self._known = self._known or KnownFixes(home)
        fixes = self._known.of(deployment)
        with read.reading(home.store) as connection:
            variants = read.variants(connection, deployment.id)
            events, minutes = self._history.read(connection, fleet.now)
            instance = picked(deployment.instances, self.console.instance)
            attempt = None if instance is None else instance.attempt
            record: Sequence[Mark] = ()
            if instance is not None and attempt is not None:
                record = record_of(connection, instance.name, attempt.id, events)
        return name, Facts(deployment, variants, events, minutes, traffic(home, fleet.now), fixes, record)

    def show(self, fleet: Fleet | None, facts: tuple[str | None, Facts | None]) -> None:
        name, self._facts = facts
        self._fleet = fleet
        self._missing = "" if self._facts else _missing(name)
        self._draw()

    def _draw(self) -> None:
        view = self._view()
        self.set_class(view is None, "-none")
        if view is None or self._fleet is None:
            self.query_one("#top", Lines).set_lines([(), [(f" {self._missing}", "plain")]])
            return
        self.show_fetch(self._fleet, view.facts.deployment)
        self.set_class(not view.wide, "-narrow")
        height = self.size.height - _FRAME - 1 - _EVENTS_LEAST
        top, attempt, variants = view.top(height - _VARIANTS_LEAST), view.attempt(), view.variants()
        room = max(_VARIANTS_LEAST, height - len(top))
        right = view.right(room)
        self.query_one("#top", Lines).set_lines(top)
        self.query_one("#attempt", Lines).set_lines(attempt)
        self.query_one("#right", Lines).set_lines(right)
        self.query_one("#variants", LineTable).set_rows(variants)
        # A table of two thousand events is not made four times a second for nothing.
        listed = view.facts.deployment.id, len(view.facts.events), view.facts.events[-1:]
        if listed != self._listed:
            self._listed = listed
            self.query_one("#events", Lines).set_lines(view.events())
        wanted = (
            max(len(attempt) + 1 + len(variants), len(right)) if view.wide else min(_VARIANTS_NARROW, 1 + len(variants))
        )
        self.query_one("#columns").styles.height = min(room, wanted)

    def _view(self) -> Overview | None:
        if self._fleet is None or self._facts is None:
            return None
        return Overview(self._fleet, self._facts, self.console.instance, self.size.width, self.console.glyphs)

    # --- What can be done. ---

    def do_fix(self, argument: str) -> None:
        """Choose what is to mend it."""
        if self._facts is not None:
            choose_fix(self, self._facts.deployment, self._facts.fixes, argument)

    def do_instance(self, _argument: str) -> None:
        """Show the attempt of the next instance."""
        view = self._view()
        names = [i.name for i in view.facts.deployment.instances] if view is not None else []
        if view is not None and view.instance is not None and len(names) > 1:
            self.console.instance = names[(names.index(view.instance.name) + 1) % len(names)]
            self._draw()

    def do_rollback(self, argument: str) -> None:
        """Go back to the variant under the cursor, or to the one that was typed, if the answer is yes."""
        number = argument or self.query_one("#variants", LineTable).cursor_key
        if self._facts is None or number is None:
            return
        deployment = self._facts.deployment
        by_id = {found[0]: found for found in self._facts.variants}
        target = next((found for found in self._facts.variants if str(found[1]) == number), None)
        current = by_id[deployment.variant_id]
        if target is None:
            self.say(f"{deployment.name} has no variant {number}.", "look")
        elif target[0] == current[0]:
            self.say(f"Variant {number} is the current one; the cursor picks another.", "look")
        else:
            changed = {k: pair for k, pair in current[2].changes(target[2]).items() if k != "env_file"}
            body = (
                f"From variant {current[1]} to {number}: {change_words(changed) or 'another environment'}.",
                "Its instances are replaced; those that serve go on until the new ones do.",
            )
            what = f"roll {deployment.name} back to variant {number}"
            wish = partial(roll_back, deployment.name, target[1])
            title = f"Roll {deployment.name} back to variant {number}?"
            self.console.confirm(title, body, "roll back", partial(self.console.wish, what, wish))

    def in_question(self) -> list[str]:
        view = self._view()
        return [] if view is None else words_of(view.document, [view.instance] if view.instance else [])

    def do_bundle(self, _argument: str) -> None:
        """Make an archive for whoever looks into it."""
        if self._facts is not None:
            bundling.make(self, self._facts.deployment.name)

    def do_url(self, _argument: str) -> None:
        self._copy("URL", lambda url, _name: [url])

    def do_play(self, _argument: str) -> None:
        """Talk to it."""
        self.console.do_play(self.console.selected or "")

    def do_curl(self, _argument: str) -> None:
        self._copy("curl command", lambda url, name: curl(url, KEY, name))

    def do_snippet(self, _argument: str) -> None:
        self._copy("Python code", lambda url, name: snippet(url, KEY, name))

    def _copy(self, what: str, text: Callable[[str, str], list[str]]) -> None:
        url = None if self._fleet is None else self._fleet.endpoint
        if self._facts is None:
            return
        if url is None:
            self.say("No gateway runs, so there is no URL yet.", "look")
            return
        self.console.copy("\n".join(text(url, self._facts.deployment.name)), what)


def _missing(name: str | None) -> str:
    return safe(f"There is no deployment {name} any more.") if name else "Nothing is launched yet."
