"""The launch form: completion, sizes, checks as one types, what it takes and costs, the command, and off it goes."""

import json
import os
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.gpus import Gpu, HostFacts, HostLook
from app.launch import fit
from app.settings import Home
from app.store import read
from app.store.telemetry import record
from app.store.write import Store
from tests.control.support import bundled_model
from tests.launch.model_hub import COMMIT
from tests.launch.test_cache import keep
from tests.launch.weights_files import small_gguf
from tests.screens.support import Scribe
from tests.screens.talking import Person, visit
from tests.screens.test_never_blocks import mute
from tests.store.spec import spec
from tests.widgets.support import LARGE, SMALL

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
GIB = 2**30


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two models, and a file that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("small.gguf", "smaller.gguf", "notes.txt"):
        (folder / name).write_bytes(b"GGUF" if name.endswith("gguf") else b"")
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this machine one of 32 GiB with so many bytes of them free."""

    def make(available: int) -> None:
        monkeypatch.setattr(fit, "memory", lambda: (32 * GIB, available))

    return make


async def on_launch(person: Person) -> None:
    await person.sees("Nothing is launched yet")
    await person.presses("2")
    await person.sees("MODEL", "● pass  model")


async def types(person: Person, text: str) -> None:
    """Type a text in place of what is in the field."""
    await person.presses("end", "ctrl+u")
    await person.types(text)


async def goes_to(person: Person, label: str, *, down: int = 20) -> None:
    """Show everything and go down to a field."""
    await person.presses("ctrl+o")
    await person.sees("REPLICAS", "CONTEXT")
    form = person.app.screen.query_one("Form")
    for _ in range(down):
        if getattr(form, "focused_key", None) == label:
            return
        await person.presses("down")
    raise AssertionError(f"no field {label}")


def above_the_command(screen: str) -> str:
    """What stands above the command, whose paths are this machine's own; without the time that checks took."""
    return re.sub(r"\d+\.\d s\b", "N s", screen.partition(" COMMAND")[0])


async def looks(person: Person, name: str) -> None:
    """Wait until the screen above the command is what it once was; with GOLDEN=write, write it."""
    path = Path(__file__).parent / "golden" / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(above_the_command(person.screen), encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    await person.waits(lambda: above_the_command(person.screen) == wanted)


@pytest.mark.parametrize("size", SIZES)
def test_how_it_looks(tmp_path: Path, size: tuple[int, int], machine: Callable[[int], None]) -> None:
    machine(24 * GIB)

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees("all passed", "COMMAND", "large")
        await looks(person, f"launch-{size[0]}")
        await person.presses("ctrl+o")
        await person.sees("REPLICAS", "all passed", "everything")
        await looks(person, f"launch-all-{size[0]}")
        assert all(len(line) <= size[0] for line in person.screen.splitlines())
        await person.presses("ctrl+o")
        await person.waits(lambda: "REPLICAS" not in person.screen)

    visit(Home(tmp_path, tmp_path), scene, size)


def test_a_size_is_chosen_by_arrow_and_is_what_would_be_started(tmp_path: Path, machine: Callable[[int], None]) -> None:
    machine(24 * GIB)

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees("large", "--ctx-size 16384 --parallel 4")
        await person.presses("down", "right")
        await person.sees("--ctx-size 32768 --parallel 4")
        await person.presses("left", "left")
        await person.sees("--ctx-size 4096 --parallel 1")

    visit(Home(tmp_path, tmp_path), scene)


def test_where_the_usual_does_not_fit_what_does_is_offered(tmp_path: Path, machine: Callable[[int], None]) -> None:
    machine(400 * 2**20)

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees("◔ warn  fit", "✖ over", "less-context", "smaller-cache")
        await person.presses("down", "right")
        await person.sees("● pass  fit", "all passed")
        assert "--ctx-size 16384" not in person.screen

    visit(Home(tmp_path, tmp_path), scene)


@pytest.mark.parametrize("size", SIZES)
def test_a_gpu_is_completed_and_its_memory_is_what_counts(tmp_path: Path, size: tuple[int, int]) -> None:
    now = time.time_ns() // 1_000
    gpus = [Gpu(n, f"GPU-000{n}", "NVIDIA GeForce RTX 3090", 24 * GIB, n * GIB, (24 - n) * GIB) for n in range(2)]
    with Scribe(tmp_path) as scribe:
        store = Store(scribe.home.store)
        with store.write() as session:
            record(session, HostFacts("local", HostLook("ok", now, tuple(gpus), "570"), {}, now, now))
        store.close()
        scribe.up()

        async def scene(person: Person) -> None:
            await on_launch(person)
            await goes_to(person, "gpus")
            await person.types("a")
            await person.presses("enter")
            await person.sees("VRAM", "2 GPUs, NVIDIA")
            await types(person, "0")
            await person.sees("VRAM", "of 24.0 GiB", "NVIDIA GeForce RTX 3090")
            assert "2 GPUs" not in person.screen

        visit(scribe.home, scene, size)


def test_what_it_costs_is_said_before(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[billing]\nhour = "0.90"\n')

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees("PRICE    0.90 USD/h while running", "✖ fail  balance", "stoker topup")
        await goes_to(person, "replicas")
        await person.types("3")
        await person.sees("2.70 USD/h while running for 3 replicas")

    visit(Home(tmp_path, tmp_path), scene)


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
        await person.sees("./small.gguf", "4 B · gguf", "● pass  model", "its memory is not known")
        await person.presses("ctrl+n")
        await person.sees("./smaller.gguf", "● pass  name         `smaller` is free")

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
        await person.sees("org/some at 01234567", "● pass  model")

    visit(home, scene, LARGE)


def test_a_field_that_means_nothing_is_named_and_nothing_is_launched(tmp_path: Path) -> None:
    async def scene(person: Person) -> None:
        await on_launch(person)
        await goes_to(person, "ctx")
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
            await person.presses("2", "down", "down")
            await person.types("chat")
            await person.sees("✖ fail  name", "chat")
            await person.types("ty")
            await person.sees("● pass  name", "`chatty` is free")

        visit(scribe.home, scene)


def test_a_broken_configuration_is_said_and_mended_while_one_looks(tmp_path: Path) -> None:
    (tmp_path / "engines.toml").write_text("x = [")

    async def scene(person: Person) -> None:
        await person.sees("Nothing is launched yet")
        await person.presses("2")
        await person.sees("CONFIG_INVALID")
        (tmp_path / "engines.toml").unlink()
        await person.sees("● pass  model")

    visit(Home(tmp_path, tmp_path), scene)


def test_a_registry_that_never_answers_is_waited_for_by_nobody(tmp_path: Path) -> None:
    async def scene(person: Person) -> None:
        await on_launch(person)
        await goes_to(person, "image")
        await person.types(f"{registry.removeprefix('http://')}/engine")
        await person.sees("◐ waiting for image", "● pass  name", "● pass  model")
        await person.presses("ctrl+l")
        await person.sees("checking …")
        await person.presses("question_mark", "ctrl+u")
        await person.sees("all passed")
        await person.presses("escape", "1")
        await person.sees("Nothing is launched yet")

    with mute() as registry:  # an address that accepts and never answers
        visit(Home(tmp_path, tmp_path), scene)
    assert not (tmp_path / "stoker.db").exists()


def test_commands_and_the_dry_run_are_copied(tmp_path: Path) -> None:
    copied = tmp_path / "copied.txt"

    async def scene(person: Person) -> None:
        await on_launch(person)
        await person.sees("all passed")
        await person.presses("ctrl+y")
        await person.sees(f"command copied; also in {copied}")
        await person.waits(lambda: copied.exists() and str(bundled_model()) in shlex.split(copied.read_text()))
        await goes_to(person, "flags")
        await person.types("threads")
        await person.presses("equals_sign", "2")
        await person.sees("● pass  flags        threads")
        await person.presses("ctrl+t")
        await person.sees("stoker command copied")
        await person.waits(lambda: copied.read_text() == "stoker launch smollm2 --set threads=2")
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
            await goes_to(person, "name")
            await person.types("mine")
            await goes_to_again(person, "key")
            await person.presses("right")
            await goes_to_again(person, "ctx")
            await person.types("1k")
            await person.presses("ctrl+l")
            await person.sees("It cannot be shown again", "stk_")
            await person.presses("escape")
            await person.sees("mine", "REQUESTED", "variant 1", "context 1024")

        visit(scribe.home, scene)
        with read.reading(scribe.home.store) as connection:
            (deployment,) = read.deployments(connection)
            (wished,) = read.specs(connection, [deployment.variant_id]).values()
    assert (deployment.name, wished.context, wished.engine) == ("mine", 1024, spec().engine)


async def goes_to_again(person: Person, label: str) -> None:
    """Go down to a field, everything being shown already."""
    form = person.app.screen.query_one("Form")
    while getattr(form, "focused_key", None) != label:
        await person.presses("down")


def test_a_newcomer_needs_enter_alone(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.up()

        async def scene(person: Person) -> None:
            await on_launch(person)
            await person.presses("enter", "enter", "enter", "enter")
            await person.sees("smollm2", "REQUESTED", "variant 1")

        visit(scribe.home, scene)


def test_an_estimate_is_asked_about_and_overruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "memory", lambda: (2**28, 2**28))
    with Scribe(tmp_path) as scribe:
        scribe.up()

        async def scene(person: Person) -> None:
            await on_launch(person)
            await person.sees("✖ fail  fit", "`--force` tries it")
            await person.presses("ctrl+l")
            await person.sees("Launch smollm2 all the same?", "This is an estimate")
            await person.presses("n")
            await person.waits(lambda: "all the same?" not in person.screen)
            await person.presses("ctrl+l")
            await person.sees("Launch smollm2 all the same?")
            await person.presses("y")
            await person.sees("smollm2", "REQUESTED", "variant 1")

        visit(scribe.home, scene)


def test_a_model_that_is_named_in_a_command_is_in_the_form(tmp_path: Path, models: Path) -> None:
    async def scene(person: Person) -> None:
        await person.sees("Nothing is launched yet")
        for name in ("small.gguf", "smaller.gguf"):
            await person.presses("colon")
            await person.types(f"launch {models / name}")
            await person.presses("enter")
            await person.sees(f"`{name.partition('.')[0]}` is free", "4 B · gguf")
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
