"""The console: screens over the store, by keyboard. It holds nothing that runs; closing it changes nothing."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ScreenStackError, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen
from textual.types import NoActiveAppError
from textual.worker import get_current_worker

from app.actions import EVERYWHERE, Action, complete_command, find_command, for_screen, shown_key, with_keymap
from app.boot import instant
from app.domain.bill import Standing
from app.domain.failures import StokerError
from app.domain.fleet import Fleet
from app.domain.text import safe
from app.render.ledger import header_parts
from app.screens.base import ConsoleScreen, bindings
from app.settings import Home, find_home, load_settings
from app.store import bill, read
from app.store.fleet import look
from widgets.chrome import Header, KeyLine
from widgets.dialogs import ConfirmDialog, HelpScreen, Section
from widgets.escape import split_escape
from widgets.keyboard import OrderedKeys
from widgets.prompt import CommandLine
from widgets.spans import Line
from widgets.theme import ASCII, THEMES, UNICODE, Glyphs

if TYPE_CHECKING:
    from sqlmodel import Session

    from app.screens.quick import Verb

READ_S = 0.25
"""Shortest time between two readings of the store; with `--slow` a second."""
SLOW_READ_S = 1.0
STALE_S = 3.0
"""What was read longer ago than this is called old."""

_SCREENS = {
    "fleet": "app.screens.fleet:FleetScreen",
    "launch": "app.screens.launch:LaunchScreen",
    "deployment": "app.screens.deployment:DeploymentScreen",
    "logs": "app.screens.logs:LogsScreen",
    "play": "app.screens.playground:PlaygroundScreen",
    "ledger": "app.screens.ledger:LedgerScreen",
    "access": "app.screens.access:AccessScreen",
    "hosts": "app.screens.hosts:HostsScreen",
}


@dataclass(frozen=True, slots=True)
class Options:
    """How the console was asked to be: the flags of the `stoker` command."""

    ascii: bool = False
    slow: bool = False
    read_only: bool = False


class Console(OrderedKeys[None]):
    """The Textual app. A screen is made when it is first shown, and imported only then.

    `selected` is the deployment that the screens are about, `instance` the one of its instances where one is looked at;
    `names` are all deployments there are. `logs_of` is `@server` or `@gateway` where the log of one of those is wanted.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)
    TITLE = "stoker"

    def __init__(self, home: Home, options: Options) -> None:
        split_escape()
        super().__init__(ansi_color=_plain_terminal())
        settings = load_settings(home)
        keymap, self.currency = settings.keymap, settings.billing.currency
        self.home = home
        self.options = options
        self.table = with_keymap(keymap)
        self.glyphs: Glyphs = ASCII if options.ascii else UNICODE
        self.history: list[str] = []
        self.names: tuple[str, ...] = ()
        self.selected: str | None = None
        self.instance: str | None = None
        self.logs_of: str | None = None
        self._visited: list[str] = []
        self._read_at = time.monotonic()
        self._hurry = threading.Event()
        self.set_keymap(dict(keymap))
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "ansi" if _plain_terminal() else "ember"

    def on_mount(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)  # so that the terminal is put right
        self.go("fleet")
        self.set_interval(1.0, self._show_state)
        self._watch()

    # --- Reading: one thread, for the screen that is visible. ---

    @work(thread=True, group="watch")
    def _watch(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            self._hurry.clear()
            try:
                screen = self.screen
                if isinstance(screen, ConsoleScreen) and screen.is_mounted:
                    self._read(screen)
            except (ScreenStackError, NoActiveAppError):
                return  # it closes, and this thread is the last to hear of it
            self._hurry.wait(SLOW_READ_S if self.options.slow else READ_S)

    def _read(self, screen: ConsoleScreen) -> None:
        fleet, facts, trouble = None, None, None
        try:
            fleet = self._look()
            self._standing = self._money() if fleet is not None else Standing()
            facts = screen.read(self.home, fleet)
        except StokerError as error:
            trouble = error
        self.call_from_thread(self._show, screen, fleet, facts, trouble)

    def _look(self) -> Fleet | None:
        try:
            return look(self.home)
        except StokerError as error:
            if error.code == "NOT_FOUND":
                return None  # nothing was ever launched here
            raise

    def _money(self) -> Standing:
        with read.reading(self.home.store) as connection:
            return bill.standing(connection, instant())

    def _show(self, screen: ConsoleScreen, fleet: Fleet | None, facts: Any, trouble: StokerError | None) -> None:
        if not self.is_running:
            return  # it closes
        if trouble is not None:
            screen.say_error(trouble)
            return
        self._read_at = time.monotonic()
        self._fleet = fleet
        self.names = tuple(d.name for d in fleet.deployments) if fleet else ()
        if screen is self.screen:
            screen.show(fleet, facts)
            self._show_state()

    @property
    def standing(self) -> Standing:
        """The account as it was read last."""
        return self._standing

    def hurry(self) -> None:
        """Read again now: something was written, or another screen came up."""
        self._hurry.set()

    # --- Writing: in a worker, never on the loop. ---

    def wish(self, what: str, change: Callable[["Session"], Any], done: Callable[[Any], None] | None = None) -> None:
        """Write a wish: `change(session)` in one transaction. `what` says what it is, `done` takes the result."""
        if self.options.read_only:
            self.tell("This console is read-only.", "look")
            return
        self.tell(f"{what} {self.glyphs.ellipsis}")
        self._write(what, change, done)

    @work(thread=True, group="wish")
    def _write(self, what: str, change: Callable[["Session"], Any], done: Callable[[Any], None] | None) -> None:
        from app.reach import writing

        try:
            with writing(self.home) as session:
                result = change(session)
        except StokerError as error:
            self.call_from_thread(self.tell_error, error)
            return
        self.hurry()
        self.call_from_thread(self.tell, f"{what}: done.", "good")
        if done is not None:
            self.call_from_thread(done, result)

    def tell(self, text: str, tone: Any = "plain") -> None:
        """Put a text into the message line of the screen."""
        if isinstance(self.screen, ConsoleScreen):
            self.screen.say(text, tone)

    def tell_error(self, error: StokerError) -> None:
        """Put an error into the message line of the screen."""
        if isinstance(self.screen, ConsoleScreen):
            self.screen.say_error(error)

    def copy(self, text: str, what: str, secret: bool = False) -> None:
        """Copy through the terminal (OSC 52), and, unless it is secret, into a file for terminals that refuse."""
        self.copy_to_clipboard(text)
        if secret:
            self.tell(f"{what} copied, if the terminal allows it")
            return
        path = self.home.state / "copied.txt"
        self._keep_copy(path, text)
        self.tell(f"{what} copied; also in {path}")

    @work(thread=True, group="copy")
    def _keep_copy(self, path: Any, text: str) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)

    # --- Moving about. ---

    def go(self, name: str, deployment: str | None = None) -> None:
        """Show a screen, about a deployment if one is given."""
        self.selected = deployment or self.selected
        if self._visited[-1:] != [name]:
            self._visited = [*self._visited, name][-20:]
        if not self.is_screen_installed(name):
            module, _, attribute = _SCREENS[name].partition(":")
            self.install_screen(getattr(import_module(module), attribute)(), name)
        screen = self.get_screen(name)
        if deployment and isinstance(screen, ConsoleScreen):
            screen.about(deployment)
        show = self.switch_screen if isinstance(self.screen, ConsoleScreen) else self.push_screen
        show(name)
        self.hurry()

    def action_run(self, action_id: str) -> None:
        """Run an action of the table by its id."""
        self.run_action_of(next(a for a in self.table if a.id == action_id), "")

    def run_action_of(self, action: Action, argument: str) -> None:
        """Run an action, with what was typed behind its command."""
        if action.writes and self.options.read_only:
            self.tell("This console is read-only.", "look")
            return
        owner = next((o for o in (self.screen, self) if hasattr(o, f"do_{action.name}")), None)
        if owner is None:
            self.tell(f"`{action.label}` does nothing here.", "dim")
            return
        getattr(owner, f"do_{action.name}")(argument)

    def do_fleet(self, _argument: str) -> None:
        self.go("fleet")

    def do_launch(self, argument: str) -> None:
        from app.screens.launch import LaunchScreen

        self.go("launch")
        if argument and isinstance(self.screen, LaunchScreen):
            self.screen.fill(argument)

    def do_logs(self, argument: str) -> None:
        self.logs_of = argument if argument.startswith("@") else None
        self.go("logs", None if self.logs_of else argument or None)

    def do_play(self, argument: str) -> None:
        self.go("play", argument or None)

    def do_ledger(self, _argument: str) -> None:
        self.go("ledger")

    def do_access(self, _argument: str) -> None:
        self.go("access")

    def do_hosts(self, _argument: str) -> None:
        self.go("hosts")

    def do_open(self, argument: str) -> None:
        self.go("deployment", argument or None)

    def do_fix(self, argument: str) -> None:
        self.go("deployment", argument or None)

    def do_stop(self, argument: str) -> None:
        self._change("stop", argument or self.selected)

    def do_start(self, argument: str) -> None:
        self._change("start", argument or self.selected)

    def do_restart(self, argument: str) -> None:
        self._change("restart", argument or self.selected)

    def do_remove(self, argument: str) -> None:
        name = argument or self.selected
        body = f"Its instances are stopped, its variants and its name are gone. What happened to {name} is kept."
        if name:
            self.confirm(f"Remove {name}?", (body,), "remove", lambda: self._change("remove", name))

    def _change(self, verb: "Verb", name: str | None) -> None:
        from app.screens.quick import change_wish

        if name:
            self.wish(f"{verb} {name}", partial(change_wish, verb, name))

    def do_command(self, _argument: str) -> None:
        self.screen.query_one(CommandLine).ask(":")

    def do_palette(self, _argument: str) -> None:
        self.action_command_palette()

    def do_back(self, _argument: str) -> None:
        if len(self._visited) > 1:
            self._visited.pop()
            self.go(self._visited.pop())

    def do_help(self, _argument: str) -> None:
        if not isinstance(self.screen, ConsoleScreen):
            return
        words = self.screen.in_question()
        if words:
            self._explain(words)
        else:
            self._show_help([])

    @work(thread=True, group="help", exclusive=True)
    def _explain(self, words: list[str]) -> None:
        from app.screens.explain import explained

        sections = explained(self.home, words)
        self.call_from_thread(self._show_help, sections)

    def _show_help(self, explained: list[Section]) -> None:
        if isinstance(self.screen, ConsoleScreen):
            sections = [*explained, *self._help(self.screen.NAME)]
            self.push_screen(HelpScreen("Keys", sections, glyphs=self.glyphs))

    def do_theme(self, argument: str) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = argument if argument in names else names[(names.index(self.theme) + 1) % len(names)]

    def do_leave(self, _argument: str) -> None:
        self.exit()

    def confirm(self, title: str, body: Iterable[str], yes: str, then: Callable[[], None]) -> None:
        """Ask before something is destroyed, and do it if the answer is yes."""
        lines: list[Line] = [[(safe(text), "plain")] for text in body]
        dialog = ConfirmDialog([(safe(title), "strong")], lines, yes=yes, glyphs=self.glyphs)
        self.push_screen(dialog, lambda answer: then() if answer else None)

    # --- Commands by name. ---

    def complete(self, text: str) -> list[str]:
        """What a typed command may become."""
        return complete_command(text, self.names, self.table)

    @on(CommandLine.Submitted)
    def _typed(self, event: CommandLine.Submitted) -> None:
        if event.prompt != ":" or not event.text.strip():
            return
        self.history = [*self.history, event.text][-200:]
        try:
            action, argument = find_command(event.text, self.table)
        except StokerError as error:
            self.tell_error(error)
            return
        if argument and argument in self.names:
            self.selected = argument
        self.run_action_of(action, argument)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every action that works here."""
        where = screen.NAME if isinstance(screen, ConsoleScreen) else EVERYWHERE
        for action in for_screen(where, self.table):
            yield SystemCommand(action.label, action.help, lambda a=action: self.run_action_of(a, ""))

    @on(Header.TabSelected)
    def _tab(self, event: Header.TabSelected) -> None:
        self._press(event.key)

    @on(KeyLine.Pressed)
    def _key(self, event: KeyLine.Pressed) -> None:
        self._press(event.key)

    def _press(self, shown: str) -> None:
        for action in for_screen(getattr(self.screen, "NAME", ""), self.table):
            if action.keys and shown_key(action.keys[0]) == shown:
                self.run_action_of(action, "")
                return

    def _help(self, where: str) -> list[tuple[str, list[tuple[str, str]]]]:
        own = [a for a in self.table if a.where == where]
        rest = [a for a in self.table if a.where == EVERYWHERE]
        return [
            (title, [(" ".join(map(shown_key, a.keys)) or f":{a.command}", a.help) for a in actions])
            for title, actions in (("here", own), ("everywhere", rest))
        ]

    def _show_state(self) -> None:
        """At the right of the header: nothing while all is well, else what is wrong and since when."""
        if self.is_running and isinstance(self.screen, ConsoleScreen) and self.screen.is_mounted:
            self.screen.query_one(Header).set_right(*self._state())

    def _state(self) -> tuple[Line, Line]:
        """What is to be said, and the same in little room."""
        age = time.monotonic() - self._read_at
        if age > STALE_S:
            return [(f"{self.glyphs.unreachable} this is {age:.0f} s old", "look")], ()
        fleet = self._fleet
        if fleet is None:
            return [("nothing launched yet", "dim")], ()
        fresh = fleet.freshness
        if fresh.answering:
            return self._purse()
        if fresh.server == "starting":
            return [(f"{self.glyphs.asleep} server starting", "dim")], ()
        if fresh.server == "down":
            return [(f"{self.glyphs.asleep} server down", "look")], ()
        since = "" if fresh.observed_at is None else f" since {max(0, fleet.now - fresh.observed_at) // 1_000_000} s"
        short = f"{self.glyphs.unreachable} server silent{since.removeprefix(' since')}"
        return [(f"{self.glyphs.unreachable} server not answering{since}", "look")], [(short, "look")]

    def _purse(self) -> tuple[Line, Line]:
        """Balance, burn and runway, where money is in use; where there is little room the last of them."""
        if not self._standing.in_use:
            return [], ()
        parts = [(cell.text, cell.tone) for cell in header_parts(self._standing, self.currency)]
        return parts, parts[-1:]

    _fleet: Fleet | None = None
    _standing = Standing()


def run(*, ascii_only: bool, slow: bool, mouse: bool, read_only: bool) -> None:
    """Run the console on this terminal until it is left."""
    Console(find_home(), Options(ascii_only, slow, read_only)).run(mouse=mouse)


def _plain_terminal() -> bool:
    """Whether only the terminal's own colours are to be used: it has no others, or none are wanted."""
    truecolor = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    return bool(os.environ.get("NO_COLOR")) or not truecolor
