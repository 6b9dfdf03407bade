"""The launch form: completion, checks as one types, the exact command, little or everything, and off it goes."""

import json
import shlex
from pathlib import Path

import pytest

from app.settings import Home
from app.store import read
from tests.control.support import bundled_model
from tests.launch.model_hub import COMMIT
from tests.launch.test_cache import keep
from tests.launch.weights_files import small_gguf
from tests.screens.support import Scribe
from tests.screens.talking import Person, visit
from tests.store.spec import spec
from tests.widgets.support import LARGE, SMALL

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two models, and a file that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("small.gguf", "smaller.gguf", "notes.txt"):
        (folder / name).write_bytes(b"GGUF" if name.endswith("gguf") else b"")
    return folder


async def on_launch(person: Person) -> None:
    await person.sees("Nothing is launched yet")
    await person.presses("2")
    await person.sees("MODEL", "● pass  model")


async def types(person: Person, text: str) -> None:
    """Type a text in place of what is in the field."""
    await person.presses("end", "ctrl+u")
    await person.types(text)


@pytest.mark.parametrize("size", SIZES)
def test_a_novice_is_asked_for_model_and_name_and_sees_what_would_be_started(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees(
            "SmolLM2-135M-Instruct · gguf", "● pass  engine", "COMMAND", "backends.llamacpp", "--ctx-size"
        )
        assert "REPLICAS" not in person.screen
        assert all(len(line) <= size[0] for line in person.screen.splitlines())
        await person.presses("ctrl+o")
        await person.sees("CONTEXT", "AT ONCE", "KV TYPE", "REPLICAS", "MEMORY", "FLAGS", "● pass  name")
        await person.presses("ctrl+o")
        await person.waits(lambda: "REPLICAS" not in person.screen)

    visit(Home(tmp_path, tmp_path), scene, size)


def test_names_of_files_are_completed_and_what_is_wrong_is_said_with_a_remedy(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)  # whose own path may be too long for a line

    async def scene(person: Person) -> None:
        await on_launch(person)
        await types(person, "./s")
        await person.sees("small.gguf · smaller.gguf", "is neither the bundled", "Give `smollm2`")
        assert "notes.txt" not in person.screen
        await person.presses("ctrl+n")
        await person.sees("./small.gguf", "small.gguf · gguf", "● pass  model")
        await person.presses("ctrl+n")
        await person.sees("smaller.gguf · gguf")

    visit(Home(tmp_path, tmp_path), scene)


def test_models_of_the_hub_that_are_here_are_completed_and_run_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("HF_HOME", str(tmp_path / "hf")), ("HF_HUB_OFFLINE", "1")):
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    home = Home(tmp_path / "home", tmp_path / "home")
    keep(home, "org/some", COMMIT, {"m-Q8_0.gguf": small_gguf()})

    async def scene(person: Person) -> None:
        await on_launch(person)
        await types(person, "org/s")
        await person.sees("org/some:Q8_0")
        await person.presses("ctrl+n")
        await person.sees("org/some at 01234567, as this machine has it", "● pass  model")

    visit(home, scene, LARGE)


def test_a_field_that_means_nothing_is_named_and_nothing_is_launched(tmp_path: Path) -> None:
    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.presses("ctrl+o", "down", "down", "down")
        await person.types("many")
        await person.sees("✖ ctx: ", "many")
        await person.presses("ctrl+l")
        await person.sees("ctx: ")
        await types(person, "2k")
        await person.presses("down")
        await person.types("3")
        await person.sees("--ctx-size 6144", "--parallel 3")

    visit(Home(tmp_path, tmp_path), scene)
    assert not (tmp_path / "stoker.db").exists()


def test_a_name_that_is_taken_is_said(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.deployment("chat")

        async def scene(person: Person) -> None:
            await person.sees("chat")
            await person.presses("2", "down")
            await person.types("chat")
            await person.sees("✖ fail  name", "chat")
            await person.types("ty")
            await person.sees("● pass  name", "`chatty` is free")

        visit(scribe.home, scene)


def test_the_command_and_the_dry_run_are_copied(tmp_path: Path) -> None:
    copied = tmp_path / "copied.txt"

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.presses("ctrl+y")
        await person.sees(f"command copied; also in {copied}")
        await person.waits(lambda: copied.exists() and str(bundled_model()) in shlex.split(copied.read_text()))
        await person.presses("ctrl+d")
        await person.sees("dry run copied")
        await person.waits(lambda: copied.read_text().startswith("{"))

    visit(Home(tmp_path, tmp_path), scene)
    document = json.loads(copied.read_text())
    assert document["ok"]
    assert {"name", "engine", "model"} <= {check["name"] for check in document["checks"]}


def test_what_the_form_says_is_wished_for_and_watched(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()

        async def scene(person: Person) -> None:
            await on_launch(person)
            await person.presses("ctrl+o", "down")
            await person.types("mine")
            await person.presses("down", "down")
            await person.types("1k")
            await person.presses("ctrl+l")
            await person.sees("mine", "REQUESTED", "variant 1", "context 1024")

        visit(scribe.home, scene)
        with read.reading(scribe.home.store) as connection:
            (deployment,) = read.deployments(connection)
            (wished,) = read.specs(connection, [deployment.variant_id]).values()
    assert (deployment.name, wished.context, wished.engine) == ("mine", 1024, spec().engine)


def test_a_model_that_is_named_in_a_command_is_in_the_form(tmp_path: Path, models: Path) -> None:
    async def scene(person: Person) -> None:
        await person.sees("Nothing is launched yet")
        for name in ("small.gguf", "smaller.gguf"):
            await person.presses("colon")
            await person.types(f"launch {models / name}")
            await person.presses("enter")
            await person.sees(f"{models / name}", f"{name} · gguf")
            await person.presses("escape")
            await person.sees("Nothing is launched yet")

    visit(Home(tmp_path, tmp_path), scene)


def test_weights_that_are_fetched_say_how_far_they_are(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat")
        scribe.instance(deployment, state="pending", phase="copying_files")
        job = scribe.fetching(deployment, 31_000_000, 94_000_000)

        async def scene(person: Person) -> None:
            await person.sees("fetching weights for chat", "33%", "31.0 MB of 94.0 MB")
            await person.presses("enter")
            await person.sees("fetching weights for chat", "33%", "VARIANT")
            scribe.fetched(job)
            await person.waits(lambda: "fetching" not in person.screen)

        visit(scribe.home, scene)


def test_read_only_it_shows_and_launches_nothing(tmp_path: Path) -> None:
    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.presses("ctrl+l")
        await person.sees("This console is read-only.")

    visit(Home(tmp_path, tmp_path), scene, read_only=True)
    assert not (tmp_path / "stoker.db").exists()
