"""What every screen of the console is: a header, a body, a line for messages, a line of keys, and a command line.

A screen says in `read` what it needs, which runs in a thread while the screen is visible, and shows it in `show`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from app.actions import ACTIONS, Action, for_screen, shown_key
from app.domain.facts import Deployment
from app.domain.failures import StokerError
from app.domain.fleet import Fleet
from app.domain.text import safe
from app.render import cells
from app.render.states import to_ascii
from app.render.words import fetched
from app.settings import Home
from widgets.chrome import Header, KeyLine, MessageLine, Rule
from widgets.prompt import CommandLine
from widgets.spans import Span
from widgets.theme import ASCII, Glyphs

if TYPE_CHECKING:
    from app.console import Console


def bindings(where: str, priority: bool = False) -> list[BindingType]:
    """The keys of the table for one screen, or for everywhere, each running its action by id.

    With `priority` they are taken before a text field that has other uses for them.
    """
    return [
        Binding(",".join(a.keys), f"app.run('{a.id}')", a.label, show=False, id=a.id, priority=priority)
        for a in ACTIONS
        if a.where == where and a.keys
    ]


def shown(parts: Iterable[Span], glyphs: Glyphs) -> list[Span]:
    """Pieces of text from anywhere as a widget takes them: safe, with our own signs in ASCII where the glyphs are."""
    texts = [(safe(text), style) for text, style in parts]
    return [(to_ascii(text), style) for text, style in texts] if glyphs is ASCII else texts


def to_spans(line: cells.Line, glyphs: Glyphs) -> list[Span]:
    """A rendered line as a widget takes it."""
    return shown(((cell.text, cell.tone) for cell in line), glyphs)


TABS = (("1", "fleet"), ("2", "launch"), ("3", "logs"), ("4", "play"), ("5", "ledger"), ("6", "access"), ("7", "hosts"))
MESSAGE_S = 6.0


class ConsoleScreen(Screen[None]):
    """The frame. A subclass sets `NAME` and `TAB`, composes `body`, and overrides `read` and `show`."""

    NAME: ClassVar[str] = ""
    TAB: ClassVar[str] = ""
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    ConsoleScreen { layout: vertical; }
    ConsoleScreen > .body { height: 1fr; }
    """

    @property
    def console(self) -> "Console":
        """The app, with all that is ours in it."""
        from app.console import Console

        app = self.app
        if not isinstance(app, Console):
            raise RuntimeError("a console's screen lives in the console")
        return app

    def compose(self) -> ComposeResult:
        glyphs = self.console.glyphs
        yield Header("stoker", glyphs=glyphs, id="header")
        yield Rule(glyphs=glyphs)
        with Vertical(classes="body"):
            yield from self.body()
        yield MessageLine(glyphs=glyphs, id="message")
        yield KeyLine(glyphs=glyphs, id="keys")
        yield CommandLine(complete=self.console.complete, history=self.console.history, id="command")

    def body(self) -> Iterable[Widget]:
        """The widgets between the header and the message line."""
        return ()

    def about(self, deployment: str) -> None:
        """Somebody came here to see this deployment. Called before the screen is shown, the first time before it is
        composed."""

    def in_question(self) -> list[str]:
        """Codes, statuses and phases of what the cursor is on, which `?` explains above the keys."""
        return []

    def read(self, home: Home, fleet: Fleet | None) -> Any:
        """What the screen shows beyond `fleet`, read from store and files. Runs in a thread, at most 4 times a second.

        May raise StokerError, which is shown with the age of what was read last.
        """
        return None

    def show(self, fleet: Fleet | None, facts: Any) -> None:
        """Show the fleet, None while there is no store yet, and what `read` returned."""

    def on_mount(self) -> None:
        self.query_one(Header).set_tabs(TABS, self.TAB)
        keys = [(shown_key(a.keys[0]), a.label) for a in self.actions if a.footer and a.keys]
        self.query_one(KeyLine).set_keys(keys)

    @property
    def actions(self) -> list[Action]:
        """What can be done here."""
        return for_screen(self.NAME, self.console.table)

    def say(self, text: str, tone: cells.Tone = "plain", seconds: float | None = MESSAGE_S) -> None:
        """Put a text into the message line."""
        self.query_one(MessageLine).show(self.line((text, tone)), seconds)

    def say_error(self, error: StokerError) -> None:
        """Put an error into the message line: code, what happened, what to do."""
        message = self.line((f"{error.code} ", "bad"), (f"{error.message} {error.remedy}", "plain"))
        self.query_one(MessageLine).show(message)

    def show_fetch(self, fleet: Fleet, deployment: Deployment) -> None:
        """Show in the message line how far the weights of a deployment have been fetched, if they are being."""
        message = self.query_one(MessageLine)
        work = fleet.fetches.get(deployment.variant_id)
        if work is not None:
            what = self.line((f"fetching weights for {deployment.name}", "plain"))
            message.progress(what, work.done / work.total, self.line((fetched(work), "dim")))
        else:
            message.done()

    def line(self, *parts: Span) -> list[Span]:
        """Pieces of text from anywhere as a line for a widget: safe, and in ASCII where that is asked for."""
        return shown(parts, self.console.glyphs)

    def spans(self, line: cells.Line, indent: int = 0) -> list[Span]:
        """A rendered line as a widget takes it."""
        return [(" " * indent, "plain"), *to_spans(line, self.console.glyphs)]
