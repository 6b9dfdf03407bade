"""The page of a log: which one is shown, what stands above it, and how it goes on into the next attempt."""

from collections.abc import Iterable

from textual import on
from textual.containers import Vertical
from textual.widget import Widget

from app.domain.findings import Finding, label
from app.domain.fleet import Fleet
from app.domain.text import safe
from app.render.findings import SIGNS, trouble
from app.render.logs import how, how_much, whose
from app.screens.base import ConsoleScreen
from app.screens.source import TODAY_WIDTH, AttemptSource, clean
from app.screens.subject import Found, Subject, Wanted, find_log
from app.settings import Home
from widgets.chrome import MessageLine, Rule
from widgets.lines import Lines
from widgets.logfile import OneFile
from widgets.logpaint import Mark
from widgets.logpane import LogPane
from widgets.logsearch import Pattern
from widgets.prompt import CommandLine
from widgets.spans import Line, spread

_WORKS = {"search": "searching", "filter": "filtering", "index": "finding lines"}


class LogPage(ConsoleScreen):
    """Shows the log that is wanted, or says why there is none.

    How it is shown (wrapped, with times, filtered) goes with the reader from one log to the next.
    """

    DEFAULT_CSS = """
    LogPage #log { height: 1fr; }
    LogPage #waiting { height: 1fr; display: none; }
    LogPage.-waiting #waiting { display: block; }
    LogPage.-waiting #log { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._found = Found()
        self._now = 0
        self._shown: Subject | None = None
        self._told = ""
        self._held: tuple[str, int] | None = None
        self._wrapped = self._times = False
        self._wanted = ""
        self._filter: Pattern | None = None

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        yield Lines(glyphs=glyphs, id="about")
        yield Rule(glyphs=glyphs)
        yield Vertical(id="log")
        yield Lines(glyphs=glyphs, id="waiting")

    def on_resize(self) -> None:
        self._draw_about()

    # --- What is shown. ---

    def read(self, home: Home, fleet: Fleet | None) -> Found:
        # A log does not give way to that of another instance by itself: the one that is shown comes second.
        asked = self.console.instance, self._found.instance
        return find_log(home, fleet, Wanted(self.console.logs_of, self.console.selected, asked, self._held))

    def show(self, fleet: Fleet | None, facts: Found) -> None:
        self._found = facts
        self._now = self._now if fleet is None else fleet.now
        subject = facts.subject
        self.set_class(subject is None, "-waiting")
        if subject is None:
            self._shown = None
            self.query_one("#waiting", Lines).set_lines([(), [(f" {safe(facts.waiting)}", "plain")]])
        elif self._shown is not None and subject.key == self._shown.key:
            self._shown, before = subject, self._shown
            if subject.findings != before.findings:
                self._mark()
        elif not self._stays(subject):
            self._shown = subject
            self.run_worker(self._open(subject), exclusive=True, group="open")
        if self.focused is None:
            self._focus_pane()  # what had it may be gone: a log that was left for a line being typed, say
        self._draw_about()

    def _focus_pane(self) -> None:
        """Give the focus to the log, unless something is being typed."""
        pane = self._pane
        if pane is not None and pane.is_attached and not self.query_one(CommandLine).display:
            self.set_focus(pane)

    def _stays(self, subject: Subject) -> bool:
        """Whether what is shown stays: who reads an attempt is not taken away from it because there is a newer one."""
        before, attempt = self._shown, subject.attempt
        if before is None or attempt is None or before.attempt is None or before.name != subject.name:
            return False
        pane = self._pane
        stays = pane is not None and not pane.state.following
        if subject.key != self._told:
            self._told = subject.key
            key = "] shows it" if stays else "[ shows the one before"
            self.say(f"Attempt {attempt.number} has begun; {key}.", "look")
        return stays

    async def _open(self, subject: Subject) -> None:
        attempt = subject.attempt
        source = OneFile(subject.path) if attempt is None else AttemptSource(subject.path, attempt.created_at)
        width = source.times_width if isinstance(source, AttemptSource) else TODAY_WIDTH
        slow = self.console.options.slow
        pane = LogPane(source, clean, times_width=width, slow=slow, glyphs=self.console.glyphs)
        place = self.query_one("#log", Vertical)
        await place.remove_children()
        await place.mount(pane)
        pane.wrap(self._wrapped)
        pane.show_times(self._times)
        if self._filter is not None:
            pane.set_filter(self._filter)
        self._mark()
        self._focus_pane()

    def _mark(self) -> None:
        """Mark what was recognised: in the margin that, at the right what."""
        subject, pane = self._shown, self._pane
        if subject is not None and pane is not None:
            pane.set_marks(mark for finding in subject.findings if (mark := _mark_of(finding)) is not None)

    @property
    def _pane(self) -> LogPane | None:
        return next(iter(self.query(LogPane)), None)

    def _draw_about(self) -> None:
        subject, pane = self._shown, self._pane
        about = self.query_one("#about", Lines)
        if self._found.subject is None or subject is None or pane is None:
            about.set_lines([[(f" {safe(self._found.instance or self.console.logs_of or '')}", "strong")]])
            return
        state = pane.state
        left = whose(subject.name, subject.attempt, subject.newest, subject.engine)
        state_cell = how(subject.attempt, state.following, state.problem, self._now)
        right = how_much(
            state.lines, state.complete, state.matches, self._wanted, state.chosen, trouble(subject.findings)
        )
        parts: Line = [(" ", "plain"), *self.spans(left), ("  ", "plain"), *self.spans((state_cell,))]
        end: Line = [*self.spans(right), (" ", "plain")]
        about.set_lines([spread(parts, end, self.size.width, self.console.glyphs.ellipsis)])

    @on(LogPane.Changed)
    def _changed(self, _event: LogPane.Changed) -> None:
        self._draw_about()

    @on(LogPane.Progress)
    def _worked(self, event: LogPane.Progress) -> None:
        line = self.query_one(MessageLine)
        if event.fraction >= 1:
            line.done()
        else:
            line.progress([(_WORKS[event.work], "plain")], event.fraction, [("esc cancels", "dim")])


def _mark_of(finding: Finding) -> Mark | None:
    """How a failure or a recovery is marked; milestones would be more marks than anyone wants to step through."""
    if finding.kind == "milestone" or finding.offset is None:
        return None
    glyph, tone = SIGNS[finding.kind]
    return Mark(finding.offset, "bad" if tone == "bad" else "good", label(finding), glyph)
