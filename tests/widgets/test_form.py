"""The form and the command line: typing, completing, choosing, moving, remembering."""

import pytest

from tests.widgets.support import LARGE, SMALL, Stage, golden, lines_of, play, screen_of, until
from widgets.entry import Entry
from widgets.form import Field, Form
from widgets.lines import Lines
from widgets.prompt import CommandLine

MODELS = ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B", "mistralai/Ministral-8B", "unsloth/Qwen3-Coder")


def named(text: str) -> list[str]:
    """Models whose name holds the text, those that begin with it first."""
    found = [name for name in MODELS if text.casefold() in name.casefold()]
    return sorted(found, key=lambda name: not name.casefold().startswith(text.casefold()))


def fields() -> list[Field]:
    return [
        Field("model", "MODEL", placeholder="owner/name", complete=named, hint=[("from the cache or the hub", "dim")]),
        Field("name", "NAME", "qwen3-8b"),
        Field("engine", "ENGINE", "vllm", choices=("llama.cpp", "sglang", "vllm"), hint=[("safetensors", "dim")]),
        Field("token", "TOKEN", "secret", secret=True),
    ]


@pytest.mark.parametrize(("size", "name"), [(SMALL, "form-80"), (LARGE, "form-120")])
def test_one_line_a_field(size: tuple[int, int], name: str) -> None:
    async def scene() -> None:
        form = Form(fields(), value_width=24)
        app = Stage(form)
        async with app.on_stage(size) as pilot:
            await pilot.pause()
            golden(name, screen_of(app))

    play(scene)


def test_typing_completes_and_says_what_else_fits() -> None:
    async def scene() -> None:
        form = Form(fields(), value_width=24)
        app = Stage(form)
        async with app.on_stage() as pilot:
            form.focus_field("model")
            await pilot.press("q", "w")
            await until(pilot, lambda: "qwen/Qwen3-8B" in lines_of(app)[0])
            assert "Qwen/Qwen3-8B · Qwen/Qwen3-4B · unsloth" in lines_of(app)[0]
            await pilot.press("right")
            assert form.values["model"] == "Qwen/Qwen3-8B"
            await until(pilot, lambda: "from the cache or the hub" in lines_of(app)[0])
            await pilot.press("ctrl+u", "q")
            await until(pilot, lambda: form.query(Entry).first().has_suggestion())
            await pilot.press("enter")
            assert (form.values["model"], form.focused_key) == ("Qwen/Qwen3-8B", "model")
            await pilot.press("enter")
            assert form.focused_key == "name"
            await pilot.press("up", "ctrl+u", *"coder", "ctrl+n")
            assert form.values["model"] == "unsloth/Qwen3-Coder"
            await pilot.press("ctrl+n")
            assert form.values["model"] == "coder"
            assert app.said(Form.Changed)[-1].key == "model"
            assert app.said(Form.Changed)[-1].control is form

    play(scene)


def test_keys_move_choose_and_submit() -> None:
    async def scene() -> None:
        form = Form(fields())
        app = Stage(form)
        async with app.on_stage() as pilot:
            form.focus_field("name")
            await pilot.press("home", "x", "y")
            assert form.values["name"] == "xyqwen3-8b"
            await pilot.press("down")
            assert form.focused_key == "engine"
            assert "vllm  ◂ ▸" in lines_of(app)[2]
            seen = []
            for key in ("right", "left", "h", "space", "s", "l", "up", "tab", "x"):
                await pilot.press(key)
                seen.append(form.values["engine"])
            assert seen[:6] == ["llama.cpp", "vllm", "sglang", "vllm", "sglang", "vllm"]
            assert form.focused_key == "engine"
            await pilot.press("shift+tab", "shift+tab", "shift+tab", "up")
            form.set_choices("engine", ("process", "docker"))
            form.set_value("engine", "docker")
            form.set_value("engine", "nothing")
            form.set_value("name", "other\x1b[31m\nname")
            form.focus_field("token")
            await pilot.press("down", "enter")
            assert [sent.values for sent in app.said(Form.Submitted)] == [
                {"model": "", "name": "other[31mname", "engine": "docker", "token": "secret"}
            ]
            assert "secret" not in screen_of(app)

    play(scene)


def test_hidden_fields_are_passed_over_and_hints_change() -> None:
    async def scene() -> None:
        form = Form(fields(), value_width=20)
        app = Stage(form)
        async with app.on_stage() as pilot:
            form.show_only(("model", "engine"))
            form.set_hint("engine", [("[b]not markup[/b]", "yellow")])
            form.focus_field("model")
            await pilot.press("down")
            assert form.focused_key == "engine"
            assert lines_of(app)[1].startswith("ENGINE     vllm  ◂ ▸")
            assert lines_of(app)[1].endswith("[b]not markup[/b]")
            await pilot.press("enter")
            assert len(app.said(Form.Submitted)) == 1

    play(scene)


COMMANDS = ("launch", "logs", "leave", "stop")


def test_the_command_line_completes_remembers_and_gives_the_focus_back() -> None:
    async def scene() -> None:
        table = Lines([[("a region", "plain")]], focusable=True)
        line = CommandLine(complete=lambda text: [c for c in COMMANDS if c.startswith(text)], history=["stop chat"])
        app = Stage(table, line)
        async with app.on_stage() as pilot:
            app.screen.set_focus(table)
            line.ask()
            await pilot.press("l")
            await until(pilot, lambda: " :launch" in screen_of(app))
            await pilot.press("tab", "tab")
            assert " :logs" in screen_of(app)
            await pilot.press("enter")
            await until(pilot, lambda: table.has_focus)
            assert [(sent.prompt, sent.text) for sent in app.said(CommandLine.Submitted)] == [(":", "logs")]
            assert line.history == ["stop chat", "logs"]
            line.ask()
            await pilot.press("d", "up", "up", "up")
            assert " :stop chat" in screen_of(app)
            await pilot.press("down", "down", "down")
            await until(pilot, lambda: " :d\n" in screen_of(app) + "\n")
            await pilot.press("escape")
            await until(pilot, lambda: not line.display)
            assert len(app.said(CommandLine.Cancelled)) == 1
            line.ask("/", "lo")
            await pilot.press("tab", "s")
            assert app.said(CommandLine.Typing)[-1] == CommandLine.Typing("/", "los")

    play(scene)
