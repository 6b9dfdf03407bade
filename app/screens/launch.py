"""Launch: a form, the checks that it passes or fails as it stands, and the exact command that it becomes."""

import json
import os
import shlex
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from app.domain.fleet import Fleet
from app.domain.quantities import size, tokens
from app.domain.text import safe
from app.domain.variant import FlagValue
from app.launch.cache import names_in_cache
from app.launch.models import local_models
from app.launch.options import Options
from app.launch.plan import Plan, plan_launch
from app.reach import actor
from app.render.checks import check_lines
from app.render.estimate import memory_lines
from app.render.words import size as bytes_text
from app.screens.base import ConsoleScreen, bindings
from app.settings import Home, load_presets
from widgets.chrome import Rule
from widgets.form import Field, Form
from widgets.lines import Lines
from widgets.spans import Line, fold

if TYPE_CHECKING:
    from sqlmodel import Session

NOVICE = ("model", "name")
ROOMY = 30
"""From so many lines on, components are named under the bar of memory."""
ADVANCED = ("model", "name", "engine", "ctx", "seqs", "kv", "replicas", "memory", "flags")
_CHECK = 11
"""Where a check that is folded goes on: behind its result."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the form's text amounts to: a plan, or the field that cannot be read and why."""

    plan: Plan | None
    trouble: tuple[str, str] | None
    models: tuple[str, ...]


class LaunchScreen(ConsoleScreen):
    """Screen 2."""

    NAME = "launch"
    TAB = "2"
    BINDINGS: ClassVar[list[BindingType]] = bindings("launch", priority=True)
    DEFAULT_CSS = """
    LaunchScreen #form { margin-left: 1; }
    LaunchScreen #checks { height: 1fr; margin-top: 1; }
    LaunchScreen #memory { height: auto; max-height: 2; }
    LaunchScreen #invocation { height: auto; max-height: 5; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: Mapping[str, str] = {"model": "smollm2"}
        self._plan: Plan | None = None
        self._models: tuple[str, ...] = ("smollm2",)
        self._novice = True

    def body(self) -> Iterable[Widget]:
        glyphs = self.console.glyphs
        engines = tuple(load_presets(self.console.home))
        fields = (
            Field(
                "model", "MODEL", self._values["model"], "smollm2, or the path of a GGUF file", complete=self._complete
            ),
            Field("name", "NAME", placeholder="made from the model's"),
            Field("engine", "ENGINE", choices=engines),
            Field("ctx", "CONTEXT", placeholder="4096", hint=[("tokens of one request: 4096, 32k", "dim")]),
            Field("seqs", "AT ONCE", placeholder="4", hint=[("requests that one replica serves at once", "dim")]),
            Field("kv", "KV TYPE", placeholder="f16", hint=[("f16, q8_0, q4_0 …, or K/V", "dim")]),
            Field("replicas", "REPLICAS", placeholder="1"),
            Field("memory", "MEMORY", placeholder="no limit", hint=[("host memory of one replica: 400M, 2G", "dim")]),
            Field("flags", "FLAGS", hint=[("of the engine itself: key=value key …", "dim")]),
        )
        yield Form(fields, glyphs=glyphs, id="form")
        yield Lines(glyphs=glyphs, id="checks")
        yield Rule(glyphs=glyphs)
        yield Lines(glyphs=glyphs, id="memory")
        yield Lines(glyphs=glyphs, id="invocation")

    def on_mount(self) -> None:
        super().on_mount()
        form = self.query_one(Form)
        form.show_only(NOVICE)
        form.focus_field("model")

    def fill(self, model: str) -> None:
        """Put a model into the form."""
        self._values = {**self._values, "model": model}
        if self.is_mounted:
            self.query_one(Form).set_value("model", model)

    def read(self, home: Home, fleet: Fleet | None) -> Facts:
        # Folders are looked into here, in a thread: completion must answer at once, whatever a disk does.
        models = (
            "smollm2",
            *names_in_cache(home),
            *map(str, local_models(home)),
            *_paths(self._values.get("model", "")),
        )
        try:
            options = read_options(self._values)
        except BadField as error:
            return Facts(None, (error.field, str(error)), models)
        return Facts(plan_launch(options, home, load_presets(home), _names(fleet)), None, models)

    def show(self, fleet: Fleet | None, facts: Facts) -> None:
        self._plan, self._models = facts.plan, facts.models
        form = self.query_one(Form)
        if facts.plan is None:
            field, text = facts.trouble or ("", "")
            trouble = self.line((" ✖ ", "bad"), (f"{field}: {text}", "plain"))
            self.query_one("#checks", Lines).set_lines([trouble])
            self.query_one("#memory", Lines).set_lines([])
            self.query_one("#invocation", Lines).set_lines([])
            return
        plan = facts.plan
        if plan.spec is not None:
            model = plan.spec.model
            form.set_hint("model", self.line((f"{model.name} · {model.format} · {bytes_text(model.size)}", "dim")))
            form.set_hint("name", self.line((plan.name, "dim")))
        checks = [self.spans(line, 1) for line in check_lines(plan.checks)]
        folded = [part for check in checks for part in fold(check, self.size.width - 1, _CHECK)]
        self.query_one("#checks", Lines).set_lines(folded)
        memory = [] if plan.fit is None else memory_lines(plan.fit.estimate, plan.fit.limit)
        rows = [self.spans(line, 1) for line in memory]
        self.query_one("#memory", Lines).set_lines(rows if self.size.height >= ROOMY else rows[:1])
        words = textwrap.wrap(shlex.join(plan.command), max(20, self.size.width - 11), break_on_hyphens=False)
        heads = ("COMMAND", *[""] * len(words))
        command: list[Line] = [
            self.line((f" {head:<7}  ", "dim"), (word, "plain")) for head, word in zip(heads, words, strict=False)
        ]
        self.query_one("#invocation", Lines).set_lines(command)

    @on(Form.Changed)
    def _edited(self, event: Form.Changed) -> None:
        self._values = dict(event.form.values)
        self.console.hurry()

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.do_go("")

    def do_go(self, _argument: str) -> None:
        """Launch what the form says, and watch it."""
        values = dict(self.query_one(Form).values)
        console = self.console
        try:
            options = read_options(values)
        except BadField as error:
            self.say(f"{error.field}: {error}", "bad")
            return

        def change(session: "Session") -> str:
            from app.launch.record import record_launch

            plan = plan_launch(options, console.home, load_presets(console.home), console.names)
            return record_launch(session, console.home, plan, options, actor()).name

        console.wish(f"launch {safe(options.model or '', 80)}", change, partial(console.go, "deployment"))

    def do_novice(self, _argument: str) -> None:
        """Ask for little, or for everything."""
        self._novice = not self._novice
        self.query_one(Form).show_only(NOVICE if self._novice else ADVANCED)
        self.say("model and name; everything else as it is by default" if self._novice else "everything")

    def do_document(self, _argument: str) -> None:
        """Copy the dry run's JSON document."""
        if self._plan is not None:
            self.console.copy(json.dumps(self._plan.to_json(), indent=2), "dry run")

    def do_copy(self, _argument: str) -> None:
        """Copy the command."""
        if self._plan is not None and self._plan.command:
            self.console.copy(shlex.join(self._plan.command), "command")

    def _complete(self, text: str) -> list[str]:
        return [model for model in self._models if model.startswith(text)]


class BadField(ValueError):
    """A field whose text means nothing."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def read_options(values: Mapping[str, str]) -> Options:
    """The options that the form's texts amount to; an empty one is left to its default. Raises BadField."""

    def take(field: str, parse: Any) -> Any:
        text = values.get(field, "").strip()
        try:
            return parse(text) if text else None
        except ValueError as error:
            raise BadField(field, str(error)) from error

    return Options(
        model=values.get("model", "").strip(),
        name=take("name", str),
        engine=take("engine", str),
        context=take("ctx", tokens),
        seqs=take("seqs", _count),
        kv_type=take("kv", str),
        replicas=take("replicas", _count),
        memory=take("memory", size),
        flags=take("flags", _flags) or {},
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1000:
        raise ValueError(f"`{safe(text, 80)}` is no number from 1 to 1000.")
    return int(text)


def _flags(text: str) -> dict[str, FlagValue]:
    pairs = [word.removeprefix("--").partition("=") for word in shlex.split(text)]
    return {key: value if equals else True for key, equals, value in pairs}


def _names(fleet: Fleet | None) -> tuple[str, ...]:
    return () if fleet is None else tuple(d.name for d in fleet.deployments)


def _paths(text: str) -> list[str]:
    """GGUF files and folders that a typed path may become; one look at one folder."""
    if "/" not in text:
        return []
    folder, _, start = text.rpartition("/")
    try:
        with os.scandir(Path(folder or "/").expanduser()) as found:
            entries = [e for e in found if e.name.startswith(start) and (e.is_dir() or e.name.endswith(".gguf"))][:20]
    except (OSError, RuntimeError):
        return []
    return sorted(f"{folder}/{e.name}" + ("/" if e.is_dir() else "") for e in entries)
