"""Logs: what an engine wrote, attempt by attempt, or our own processes; followed, searched, filtered, copied."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.binding import BindingType

from app.screens.base import bindings
from app.screens.logpage import LogPage
from widgets.logpane import LogPane
from widgets.logsearch import Pattern
from widgets.prompt import CommandLine

REGEX = "~"
"""In front of what is searched for, it makes it a regular expression."""

_SEARCH, _FILTER = "/", "&"
# What a line that tells of an error mostly has in it, whatever the engine: a help for the eye, no code rests on it.
_ERRORS = Pattern(
    r"(error|exception|traceback|fatal|critical|panic|failed|aborted|out of memory|segmentation fault)\b", regex=True
)


class LogsScreen(LogPage):
    """Screen 3."""

    NAME = "logs"
    TAB = "3"
    BINDINGS: ClassVar[list[BindingType]] = bindings("logs")

    def __init__(self) -> None:
        super().__init__()
        self._sought = False
        self._forward = False

    @on(LogPane.Searched)
    def _searched(self, event: LogPane.Searched) -> None:
        if event.outcome == "nothing":
            where, key = ("below", "N looks above") if self._forward else ("above", "n looks below")
            self.say(f"Nothing more {where}; {key}.", "look")
        elif event.outcome == "cancelled":
            self.say("Search cancelled.", "dim")

    @on(LogPane.Copy)
    def _copied(self, event: LogPane.Copy) -> None:
        cut = "" if event.lines == event.asked else f" of {event.asked:,}: no more can be copied at once"
        self.console.copy(event.text, f"{event.lines:,} line{'' if event.lines == 1 else 's'}{cut}")

    @on(CommandLine.Submitted)
    def _typed(self, event: CommandLine.Submitted) -> None:
        if event.prompt == _FILTER:
            self._show_only(event.text)
        elif event.prompt == _SEARCH and (pattern := self._pattern(event.text)) is not None:
            # A log opens at its end, where everything is above.
            pane = self._pane
            self._search(pattern, forward=pane is not None and not pane.state.following)

    # --- What can be done. ---

    def do_search(self, argument: str) -> None:
        if argument:
            self._typed(CommandLine.Submitted(_SEARCH, argument))
        else:
            self.query_one(CommandLine).ask(_SEARCH)

    def do_next(self, _argument: str) -> None:
        self._again(forward=True)

    def do_previous(self, _argument: str) -> None:
        self._again(forward=False)

    def do_error(self, _argument: str) -> None:
        self._search(_ERRORS, forward=False)

    def do_error_below(self, _argument: str) -> None:
        self._search(_ERRORS, forward=True)

    def do_filter(self, argument: str) -> None:
        if argument:
            self._show_only(argument)
        else:
            self.query_one(CommandLine).ask(_FILTER, self._wanted)

    def do_instance(self, _argument: str) -> None:
        names, shown = self._found.instances, self._found.instance
        if len(names) > 1 and shown in names:
            self._turn(names[(names.index(shown) + 1) % len(names)])
        elif names:
            self.say(f"{names[0]} is the only instance.", "dim")

    def do_older(self, _argument: str) -> None:
        self._step(-1)

    def do_newer(self, _argument: str) -> None:
        self._step(1)

    def do_line(self, argument: str) -> None:
        if not argument.isdecimal() or not int(argument):
            self.say("Which line? `:line 1204`", "look")
        elif self._pane is not None:
            self._pane.go_to_number(int(argument))

    def do_wrap(self, _argument: str) -> None:
        self._wrapped = not self._wrapped
        if self._pane is not None:
            self._pane.wrap(self._wrapped)

    def do_times(self, _argument: str) -> None:
        self._times = not self._times
        if self._pane is not None:
            self._pane.show_times(self._times)

    def do_follow(self, _argument: str) -> None:
        if self._pane is not None:
            self._pane.action_follow()

    def do_end(self, _argument: str) -> None:
        if self._pane is not None:
            self._pane.action_last()

    def do_copy(self, _argument: str) -> None:
        if self._pane is not None:
            self._pane.action_copy()

    def do_select(self, _argument: str) -> None:
        if self._pane is not None:
            self._pane.action_choose()

    def do_back(self, argument: str) -> None:
        """Give up the filter, then what was searched for, then the screen."""
        pane = self._pane
        if self._filter is not None:
            self._show_only("")
        elif pane is not None and self._sought:
            self._sought = False
            pane.forget_search()
        else:
            self.console.do_back(argument)

    def _search(self, pattern: Pattern, forward: bool) -> None:
        if self._pane is not None:
            self._forward, self._sought = forward, True
            self._pane.search(pattern, forward)

    def _again(self, forward: bool) -> None:
        if self._pane is not None and self._sought:
            self._forward = forward
            self._pane.search_again(forward)
        elif self._pane is not None and not self._pane.go_to_mark(forward):
            self.say(f"No finding {'below' if forward else 'above'}; / begins a search.", "dim")

    def _show_only(self, text: str) -> None:
        """Show the lines that match what was typed, or all again."""
        pattern = self._pattern(text) if text else None
        if pattern is None and text:
            return
        self._wanted, self._filter = text, pattern
        if self._pane is not None:
            self._pane.set_filter(pattern)
            self._draw_about()

    def _pattern(self, text: str) -> Pattern | None:
        """What was typed as a pattern; None, and said why, if it is none."""
        try:
            return Pattern(text.removeprefix(REGEX), regex=text.startswith(REGEX))
        except ValueError as error:
            self.say(str(error).capitalize() + ".", "look")
            return None

    def _step(self, by: int) -> None:
        """Show the attempt before or behind the one shown."""
        found = self._found
        if found.instance is None or not found.attempts:
            return
        at = found.attempts.index(self._attempt(found.instance, found.attempts)) + by
        if not 0 <= at < len(found.attempts):
            self.say("There is no newer attempt." if by > 0 else "There is no older attempt.", "dim")
            return
        # The newest is not held on to: what follows it is to be shown as well.
        newest = at == len(found.attempts) - 1
        self._turn(found.instance, None if newest else found.attempts[at])

    def _attempt(self, instance: str, numbers: Sequence[int]) -> int:
        """Which attempt of an instance is shown, or was asked for if there is no log of it."""
        subject = self._shown
        if subject is not None and subject.attempt is not None and subject.name == instance:
            shown = subject.attempt.number
        else:
            shown = self._held[1] if self._held is not None and self._held[0] == instance else numbers[-1]
        return shown if shown in numbers else numbers[-1]

    def _turn(self, instance: str, attempt: int | None = None) -> None:
        self.console.instance = instance
        self._held = None if attempt is None else (instance, attempt)
        self._shown = None
        self.console.hurry()
