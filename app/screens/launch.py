"""Launch: a form, the checks that it passes or fails as it stands, what it takes and costs, and the exact command."""

import json
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget

from app.domain.fleet import Fleet
from app.domain.text import safe
from app.launch.checks import forced
from app.launch.options import Options, command_words
from app.launch.plan import Plan
from app.launch.preflight import Outcome, Preflight
from app.reach import actor
from app.render.estimate import memory_lines
from app.render.launch import command_lines, price_line, progress_line, ranked_lines
from app.render.sizes import size_lines, verdict
from app.render.words import size as bytes_text
from app.screens.base import ConsoleScreen, bindings
from app.screens.launch_fields import (
    ADVANCED,
    HERE,
    NOVICE,
    USUAL,
    BadField,
    Known,
    find_known,
    form_fields,
    read_options,
)
from app.settings import Home
from app.store.fleet import endpoint
from widgets.chrome import Rule
from widgets.form import Form
from widgets.lines import Lines
from widgets.spans import Line, fold

if TYPE_CHECKING:
    from sqlmodel import Session

    from app.store.keys import Made

WIDE, ROOMY, HEADED = 110, 28, 34
"""From so many columns on the checks stand beside the form; from so many lines on nothing is left out, and fields have
headings."""
PAUSE_S = 0.3
"""So long after the last key the form is checked."""
AGAIN_S = 10.0
"""So long after its checks have ended they are made again, for what changes by itself."""
_COMMAND, _COMMAND_ROOMY = 2, 5
"""Lines that the command may take."""
_CHECK = 11
"""Where a check that is folded goes on: behind its result."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the form: the field that cannot be read and why, else how far its checks are; and what its
    fields may become."""

    trouble: tuple[str, str] | None
    outcome: Outcome | None
    known: Known


class LaunchScreen(ConsoleScreen):
    """Screen 2."""

    NAME = "launch"
    TAB = "2"
    BINDINGS: ClassVar[list[BindingType]] = bindings("launch", priority=True)
    DEFAULT_CSS = """
    LaunchScreen #top { height: 1fr; layout: vertical; }
    LaunchScreen #left { height: auto; max-height: 11; }
    LaunchScreen #form { margin-left: 1; height: auto; }
    LaunchScreen #sizes { margin: 1 0 0 1; height: auto; }
    LaunchScreen.-advanced #left { max-height: 10; }
    LaunchScreen.-advanced #sizes { display: none; }
    LaunchScreen.-advanced #form { height: 1fr; }
    LaunchScreen #checks { height: 1fr; margin-top: 1; }
    LaunchScreen.-wide #top { layout: horizontal; }
    LaunchScreen.-wide #left { width: 52%; height: 100%; max-height: 100%; }
    LaunchScreen.-wide #checks { height: 100%; margin: 0; }
    LaunchScreen #memory { height: auto; max-height: 2; }
    LaunchScreen #price { height: 1; }
    LaunchScreen #invocation { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: Mapping[str, str] = {"model": "smollm2"}
        self._outcome: Outcome | None = None
        self._known = Known()
        self._looked = ("", ""), 0.0, self._known
        self._novice = True
        self._going = False
        self._preflight: Preflight | None = None

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        with Container(id="top"):
            with Vertical(id="left"):
                yield Form(form_fields(self._values["model"], self._completer), glyphs=glyphs, id="form")
                yield Lines(glyphs=glyphs, id="sizes")
            yield Lines(glyphs=glyphs, id="checks")
        yield Rule(glyphs=glyphs)
        yield Lines(glyphs=glyphs, id="memory")
        yield Lines(glyphs=glyphs, id="price")
        yield Lines(glyphs=glyphs, id="invocation")

    def on_mount(self) -> None:
        super().on_mount()
        self._show_fields()
        self._fit_to(self.size.width, self.size.height)
        self.query_one(Form).focus_field("model")

    def on_resize(self, event: events.Resize) -> None:
        self._fit_to(event.size.width, event.size.height)
        self.console.hurry()

    def fill(self, model: str) -> None:
        """Put a model into the form."""
        self._values = {**self._values, "model": model}
        if self.is_mounted:
            self.query_one(Form).set_value("model", model)

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        # Folders are looked into here, in a thread: completion must answer at once, whatever a disk does.
        values = self._values
        known = self._find_known(home, values.get("model", ""), values.get("host", HERE))
        if self._preflight is None:
            self._preflight = Preflight(home, self.console.hurry)
        try:
            options = read_options(values)
        except BadField as error:
            self._preflight.cancel()
            return Facts((error.field, str(error)), None, known)
        taken = () if fleet is None else tuple(d.name for d in fleet.deployments)
        self._preflight.ask(options, taken, PAUSE_S if self._preflight.seen else 0.0, AGAIN_S)
        return Facts(None, self._preflight.seen, known)

    def _find_known(self, home: Home, model: str, host: str) -> Known:
        """What fields may become; looked up again when one of them has changed that decides it, or after a while."""
        typed, now = (model, host), time.monotonic()
        if self._looked[0] != typed or now - self._looked[1] > AGAIN_S:
            self._looked = typed, now, find_known(home, model, None if host == HERE else host)
        return self._looked[2]

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        form = self.query_one(Form)
        self._known, self._outcome = facts.known, facts.outcome
        form.set_choices("engine", ("auto", *facts.known.engines))
        form.set_choices("host", (HERE, *facts.known.hosts))
        if facts.trouble is not None:
            self._show_trouble(*facts.trouble)
        elif facts.outcome is not None:
            self._show_outcome(form, facts.outcome)
            if self._going and facts.outcome.whole:
                self._going = False
                self._launch(facts.outcome)

    def _show_trouble(self, field: str, text: str) -> None:
        self._going = False
        self._set("checks", [self.line((" ✖ ", "bad"), (f"{field}: {text}", "plain"))])
        for name in ("memory", "price", "invocation"):
            self._set(name, [])

    def _show_outcome(self, form: Form, outcome: Outcome) -> None:
        plan = outcome.plan or Plan("", 1, ())
        if outcome.error is not None:
            error = outcome.error
            self._set("checks", [self.line((f" ✖ {error.code} ", "bad"), (f"{error.message} {error.remedy}", "plain"))])
        else:
            rows = [progress_line(plan.checks, plan.waiting, outcome.took_s, outcome.fresh)]
            rows += ranked_lines(plan.checks, outcome.fresh)
            width = self.query_one("#checks").size.width - 1
            self._set("checks", [part for row in rows for part in fold(self.spans(row, 1), width, _CHECK, words=True)])
        if outcome.fresh:
            self._show_hints(form, plan)
            self._show_sizes(form, plan)
        self._show_costs(plan)

    def _show_hints(self, form: Form, plan: Plan) -> None:
        """What the fields stand for as they are."""
        form.set_hint("model", [])
        if plan.spec is None:
            return
        spec, fit = plan.spec, plan.fit
        parts = [] if spec.model.size is None else [bytes_text(spec.model.size)]
        parts += [spec.model.format]
        parts += [f"{fit.facts.shape.context:,} ctx"] if fit is not None and fit.facts.shape.context else []
        parts += [] if spec.model.name in form.values["model"] else [spec.model.name]
        form.set_hint("model", self.line((" · ".join(parts), "dim")))
        form.set_hint("name", self.line((plan.name, "dim")))
        reason = next((check.detail for check in plan.checks if check.name == "engine"), spec.engine)
        form.set_hint("engine", self.line((reason, "dim")))
        for key, value in (("ctx", spec.context), ("seqs", spec.seqs), ("kv", spec.kv_type)):
            form.set_placeholder(key, str(value))
        if fit is not None and fit.context:
            form.set_hint("ctx", self.line((f"of a request; {fit.context:,} fit", "dim")))
        if fit is not None and fit.on_gpu:
            form.set_hint("gpus", self.line((fit.place, "dim")))

    def _show_sizes(self, form: Form, plan: Plan) -> None:
        if "fit" in plan.waiting:
            return
        names = [size.name for size in plan.sizes] or ["small", USUAL]
        chosen = form.values["size"]
        if chosen not in names and chosen != USUAL and plan.sizes:
            form.set_value("size", USUAL)
            chosen = USUAL
        form.set_choices("size", list(dict.fromkeys([*names, chosen])))
        size = next((each for each in plan.sizes if each.name == chosen), None)
        words = verdict(size) if size else "its memory is not known"
        form.set_hint("size", self.line((words, "bad" if size and size.verdict == "no" else "dim")))
        self._set("sizes", [self.spans(line) for line in size_lines(plan.sizes, chosen)])

    def _show_costs(self, plan: Plan) -> None:
        """Memory, price and command."""
        roomy, memory = self.size.height >= ROOMY, list[Line]()
        if plan.fit is not None:
            place = plan.fit.place if plan.fit.on_gpu else ""
            memory = [self.spans(line, 1) for line in memory_lines(plan.fit.estimate, plan.fit.limit, place)]
        self._set("memory", memory if roomy else memory[:1])
        money = self.console.standing, self.console.currency
        price = [] if plan.spec is None else [self.spans(price_line(plan.spec.price, plan.replicas, *money), 1)]
        self._set("price", price)
        rows = command_lines(plan.command, max(20, self.size.width - 12), _COMMAND_ROOMY if roomy else _COMMAND)
        heads = ("COMMAND", *[""] * len(rows))
        shown = [self.line((f" {head:<9}", "dim"), (row, "plain")) for head, row in zip(heads, rows, strict=False)]
        self._set("invocation", shown)

    def on_screen_suspend(self) -> None:
        self._going = False  # whoever leaves the form has thought better of it

    @on(Form.Changed)
    def _edited(self, event: Form.Changed) -> None:
        self._values = dict(event.form.values)
        self._going = False
        self.console.hurry()

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.console.action_run("launch.go")

    def do_go(self, _argument: str) -> None:
        """Launch what the form says as soon as its checks have ended, and watch it."""
        self._going = True
        self.say("checking …", seconds=None)
        self.console.hurry()

    def _launch(self, outcome: Outcome) -> None:
        plan = outcome.plan
        if plan is None or outcome.error is not None:
            if outcome.error is not None:
                self.say_error(outcome.error)
            return
        failure = plan.failure
        if failure is None:
            self._wish(plan, outcome.options)
        elif all(check.forcible for check in plan.checks if check.result == "fail"):
            body = (failure.detail, "This is an estimate. It may do all the same, and it may fail while it loads.")
            go = partial(self._wish, replace(plan, checks=tuple(map(forced, plan.checks))), outcome.options)
            self.console.confirm(f"Launch {plan.name} all the same?", body, "launch", go)
        else:
            self.say_error(failure.error())

    def _wish(self, plan: Plan, options: Options) -> None:
        console, with_key = self.console, self._values.get("key") == "yes"

        def change(session: "Session") -> tuple[str, "Made | None", str | None]:
            from app.launch.record import record_launch
            from app.store.keys import create

            name = record_launch(session, console.home, plan, options, actor()).name
            made = create(session, name, (name,), None) if with_key else None
            return name, made, endpoint(console.home)

        def done(found: tuple[str, "Made | None", str | None]) -> None:
            from app.screens.key_dialogs import show_key

            name, made, url = found
            console.go("deployment", name)
            if made is not None:
                show_key(self, made, url)

        console.wish(f"launch {safe(options.model or '', 80)}", change, done)

    def do_novice(self, _argument: str) -> None:
        """Ask for little, or for everything."""
        self._novice = not self._novice
        self._show_fields()
        self.say("model, size and name; everything else as it is by default" if self._novice else "everything")

    def do_document(self, _argument: str) -> None:
        """Copy the dry run's JSON document."""
        if self._plan is not None:
            self.console.copy(json.dumps(self._plan.to_json(), indent=2), "dry run")

    def do_copy(self, _argument: str) -> None:
        """Copy the command of the engine."""
        if self._plan is not None and self._plan.command:
            self.console.copy(shlex.join(self._plan.command), "command")

    def do_words(self, _argument: str) -> None:
        """Copy the command of ours."""
        if self._outcome is not None:
            self.console.copy(shlex.join(command_words(self._outcome.options)), "stoker command")

    @property
    def _plan(self) -> Plan | None:
        """The plan of the form as it is; None while its checks are under way."""
        return self._outcome.plan if self._outcome is not None and self._outcome.whole else None

    def _show_fields(self) -> None:
        self.set_class(not self._novice, "-advanced")
        form = self.query_one(Form)
        form.show_only(NOVICE if self._novice else ADVANCED, headed=not self._novice and self.size.height >= HEADED)

    def _fit_to(self, width: int, height: int) -> None:
        self.set_class(width >= WIDE, "-wide")
        self._show_fields()

    def _set(self, name: str, lines: Sequence[Line]) -> None:
        self.query_one(f"#{name}", Lines).set_lines(lines)

    def _completer(self, key: str) -> Callable[[str], Sequence[str]]:
        def complete(text: str) -> list[str]:
            known = {"model": self._known.models, "gpus": self._known.gpus, "image": self._known.images}[key]
            return [each for each in known if each.startswith(text)]

        return complete
