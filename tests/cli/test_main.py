"""The command as a whole: what it imports, how errors reach people and scripts, pipes, encodings, terminals."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.settings import Home
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.process import COMMAND, output, running
from tests.cli.rows import instance, launch, write_log

HEAVY = {
    "sqlmodel",
    "sqlalchemy",
    "pydantic",
    "docker",
    "httpx2",
    "httpx",
    "textual",
    "huggingface_hub",
    "uvicorn",
    "psutil",
}
IMPORTED = """
import sys
sys.argv = ["stoker", *sys.argv[1:]]
from app.cli.main import main
status = main()
print(*sorted(set(sys.modules) & {heavy}), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["launch", "--help"], ["ps"], ["ps", "--json"], ["show", "demo"], ["events", "demo"],
     ["variants", "demo"], ["logs", "demo"], ["logs", "@server"], ["status"], ["keys", "ls"], ["hosts", "ls"],
     ["completion", "bash"]],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_only_look_import_nothing_heavy(home: Home, store: Store, words: list[str]) -> None:
    row = instance(store, launch(store))
    write_log(home.attempts, row.attempt_id, "a line\n")
    home.server_log.write_text("a line\n")
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTED.replace("{heavy}", repr(HEAVY)), *words],
        env={"STOKER_HOME": str(home.state), "PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_help_lists_every_command(stoker: Stoker) -> None:
    text = stoker("--help").out
    verbs = "up down status serve launch ps show events logs stop start restart rm change variants rollback ask keys"
    for verb in f"{verbs} request estimate gpus hosts doctor completion".split():
        assert f"\n  {verb} " in text
        assert stoker(verb, "--help").status == 0
    assert stoker("-h").out == text
    assert stoker("--version").out.startswith("stoker ")


def test_an_unknown_command_is_a_usage_error_with_a_hint(stoker: Stoker) -> None:
    result = stoker("lauch")
    assert result.status == 2
    assert result.err == "stoker: USAGE: There is no command `lauch`. Did you mean `launch`? See `stoker --help`.\n"
    assert stoker("\x1b[2J", "--json").error["code"] == "USAGE"
    assert "\x1b" not in stoker("\x1b[2J").err


def test_json_errors_have_one_shape_and_leave_stdout_empty(stoker: Stoker, server: Any) -> None:
    for words, status, code in (
        (["ps", "--nonsense"], 2, "USAGE"),
        (["show"], 2, "USAGE"),
        (["show", "demo"], 1, "NOT_FOUND"),
        (["keys", "revoke", "nonsense"], 1, "NOT_FOUND"),
        (["request", "../x"], 1, "NOT_FOUND"),
        (["logs", "demo", "--since", "yesterday-ish"], 2, "USAGE"),
    ):
        result = stoker(*words, "--json") if words[0] != "logs" else stoker(*words)
        assert (result.status, result.out) == (status, "")
        if words[0] != "logs":
            assert result.error["code"] == code
            assert result.error["remedy"]


def test_words_after_two_dashes_are_no_options(stoker: Stoker, store: Store, server: Any) -> None:
    launch(store)
    assert stoker("show", "--", "--json").err.startswith("stoker: NOT_FOUND: ")


def test_a_home_that_cannot_be_is_said(stoker: Stoker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "file"))
    for words in (["launch", "smollm2"], ["up"], ["keys", "create"]):
        result = stoker(*words, "--json")
        assert (result.status, result.error["code"]) == (1, "CONFIG_INVALID")


def test_a_reader_that_leaves_early_is_no_error(home: Home, store: Store) -> None:
    row = instance(store, launch(store))
    write_log(home.attempts, row.attempt_id, "a line of the engine's log\n" * 100_000)
    with running(home, "logs", "demo") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a line of the engine's log\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(30) == 1


def test_signs_become_ascii_where_the_encoding_has_none(home: Home, store: Store) -> None:
    instance(store, launch(store))
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "ps"],
        cwd=Path(__file__).parents[2],
        env={"STOKER_HOME": str(home.state), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert b"* DEPLOYED" in done.stdout


def test_a_directory_with_modules_of_our_names_is_harmless(home: Home, store: Store, tmp_path: Path) -> None:
    for name in ("app", "backends", "assets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the wrong place')")
    script = Path(sys.executable).with_name("stoker")
    command = [str(script)] if script.exists() else COMMAND
    done = subprocess.run(
        [*command, "ps", "--json"],
        cwd=tmp_path,
        env={"STOKER_HOME": str(home.state), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_without_a_command_and_a_terminal_it_says_what_to_type(stoker: Stoker, home: Home) -> None:
    result = stoker()
    assert result.status == 0
    assert "stoker launch smollm2" in result.out
    assert "llama.cpp" in result.out
    assert not home.state.exists()


def test_without_a_command_it_lists_what_there_is(stoker: Stoker, store: Store, server: Any) -> None:
    instance(store, launch(store))
    text = stoker().out
    assert "● DEPLOYED" in text
    assert "stoker ask demo" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(stoker: Stoker, shell: str) -> None:
    assert "_STOKER_COMPLETE" in stoker("completion", shell).out
    assert stoker("completion", "csh").status == 2


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("show de", ["demo", "denmark"]), ("logs de", ["demo", "denmark"]), ("logs @", ["@server", "@gateway"])],
)
def test_names_are_completed_from_the_store(home: Home, store: Store, typed: str, expected: list[str]) -> None:
    for name in ("demo", "denmark", "other"):
        launch(store, name)
    words = {"_STOKER_COMPLETE": "bash_complete", "COMP_WORDS": f"stoker {typed}", "COMP_CWORD": "2"}
    with running(home, **words) as process:
        found = output(process).splitlines()
    assert [line.split(",")[1] for line in found] == expected


def test_completion_without_a_store_is_silent(home: Home) -> None:
    words = {"_STOKER_COMPLETE": "bash_complete", "COMP_WORDS": "stoker show de", "COMP_CWORD": "2"}
    with running(home, **words) as process:
        assert output(process).strip() == ""
        assert process.stderr is not None
        assert process.stderr.read() == ""
