"""From a name on the hub to a model: its commit and files, what the hub says of it, what a launch makes of that."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.domain.containers import docker_run
from app.domain.engines import inside, render_command
from app.domain.variant import VariantSpec
from app.launch import hub as hub_module
from app.launch.checks import Check
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import plan_change, plan_launch
from app.settings import Home, load_presets
from tests.launch import model_hub
from tests.launch.model_hub import COMMIT, TOKEN, ModelHub
from tests.launch.weights_files import files_of_a_folder, small_gguf

FOLDER = files_of_a_folder()
REPOS: Mapping[str, Mapping[str, bytes]] = {
    "org/Model-GGUF": {"m-Q8_0.gguf": small_gguf(), "m-Q4_K_M.gguf": small_gguf(tied=False)},
    "org/folder": {**FOLDER, "modeling.py": b"import os"},
    "org/both": {**FOLDER, "m-Q8_0.gguf": small_gguf()},
    "org/hostile": {"../../../m-Q8_0.gguf": b"GGUF", "/m-F16.gguf": b"GGUF"},
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "home")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub that the environment points to; what was heard of another one is forgotten."""
    monkeypatch.setattr(hub_module, "_remembered", {})
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with model_hub.serving(REPOS) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield hub


def plan(home: Home, model: str, **options: object) -> Plan:
    return plan_launch(Options(model=model, **options), home, load_presets(home), ())  # type: ignore[arg-type] # by name


def checks(found: Plan) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def boxed(home: Home, model: str, **options: object) -> VariantSpec:
    """What vLLM would run in a container, whether this machine has GPUs and a daemon for it or not."""
    found = plan(home, model, engine="vllm", **({"backend": "docker"} | options))
    assert found.spec is not None
    return found.spec


def command(home: Home, spec: VariantSpec) -> list[str]:
    preset = load_presets(home)[spec.engine]
    return list(docker_run(preset, spec, render_command(preset, spec, "demo", "python", 1)))


def test_a_gguf_model_is_pinned_and_is_to_be_fetched(hub: ModelHub, home: Home, tmp_path: Path) -> None:
    found = plan(home, "org/Model-GGUF")
    assert found.failure is None
    model = found.require().model
    assert (model.name, model.repo, model.revision) == ("org/Model-GGUF:Q4_K_M", "org/Model-GGUF", COMMIT)
    assert model.path == str(tmp_path / "hf/hub/models--org--Model-GGUF/snapshots" / COMMIT / "m-Q4_K_M.gguf")
    assert (found.name, model.size) == ("model", len(small_gguf(tied=False)))
    assert checks(found)["hub"].detail == "org/Model-GGUF at 01234567, public, apache-2.0"
    assert (checks(found)["model"].result, checks(found)["disk"].result) == ("warn", "pass")
    assert plan(home, "org/Model-GGUF", quant="q8_0").require().model.name.endswith(":Q8_0")
    assert plan(home, "org/Model-GGUF:Q8_0@main").require().model.files[0].name == "m-Q8_0.gguf"
    assert plan(home, "org/Model-GGUF", file="m-Q8_0.gguf").require().model.files[0].name == "m-Q8_0.gguf"


@pytest.mark.parametrize(
    ("model", "options", "code"),
    [
        ("org/absent", {}, "MODEL_NOT_FOUND"),
        ("org/Model-GGUF", {"quant": "q2_k"}, "MODEL_NOT_FOUND"),
        ("org/Model-GGUF@v9", {}, "MODEL_NOT_FOUND"),
        ("org/hostile", {}, "MODEL_NOT_FOUND"),
        ("org/folder", {"engine": "llama.cpp"}, "ARCH_UNSUPPORTED"),
    ],
)
def test_what_cannot_be_is_refused(
    hub: ModelHub, home: Home, model: str, options: Mapping[str, str], code: str
) -> None:
    found = plan(home, model, **options)
    assert found.failure is not None
    assert found.failure.code == code


def test_a_closed_model_says_whether_the_token_opens_it(
    hub: ModelHub, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.closed.add("org/Model-GGUF")
    found = plan(home, "org/Model-GGUF")
    assert found.failure is not None
    assert (found.failure.name, found.failure.code) == ("hub", "MODEL_GATED")
    assert "no token" in found.failure.detail
    opened = plan(home, "org/Model-GGUF", env={"HF_TOKEN": TOKEN})
    assert "closed, and open to us" in checks(opened)["hub"].detail
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    shell = plan(home, "org/Model-GGUF")
    assert shell.failure is None
    assert shell.require().env_names == ("HF_ENDPOINT", "HF_TOKEN"), "a server does not inherit a shell's variables"
    home.make()
    (home.config / "config.toml").write_text('[server]\nenv = {HF_TOKEN = "hf_wrong"}\n')
    configured = plan(home, "org/Model-GGUF")
    assert configured.failure is not None, "what the server would show is what counts"
    assert "this token" in configured.failure.detail


def test_an_engine_gets_the_format_that_it_takes(hub: ModelHub, home: Home) -> None:
    assert plan(home, "org/both", engine="llama.cpp", quant="q8_0").require().model.format == "gguf"
    model = boxed(home, "org/both").model
    assert (model.format, inside(model)) == ("safetensors", "/models/both")


def test_a_container_here_is_given_the_files_and_one_elsewhere_fetches_them(hub: ModelHub, home: Home) -> None:
    here = boxed(home, "org/folder")
    words = command(home, here)
    assert "--revision" not in words
    assert f"{here.model.path}/config.json:/models/folder/config.json:ro" in words
    home.make()
    (home.config / "config.toml").write_text('[hosts.gpu1]\naddress = "ssh://ops@gpu1"\n')
    there = boxed(home, "org/folder", host="gpu1")
    assert (there.model.path, there.model.files, there.model.revision) == ("org/folder", (), COMMIT)
    words = command(home, there)
    assert words[words.index("--revision") + 1] == COMMIT
    assert "--volume" not in words


def test_code_of_a_model_runs_only_at_a_commit_that_is_allowed(hub: ModelHub, home: Home) -> None:
    flags = {"trust-remote-code": True}
    refused = checks(plan(home, "org/folder", engine="vllm", backend="docker", flags=flags))["code"]
    assert (refused.code, f"org/folder@{COMMIT}" in refused.remedy) == ("CODE_NOT_ALLOWED", True)
    home.make()
    for commit, allowed in ((COMMIT[::-1], False), (COMMIT, True)):
        (home.config / "config.toml").write_text(f'[models]\nremote_code = ["org/folder@{commit}"]\n')
        found = plan(home, "org/folder", engine="vllm", backend="docker", flags=flags)
        assert checks(found)["code"].result == ("pass" if allowed else "fail")
        names = [] if found.spec is None else [file.name for file in found.spec.model.files]
        assert ("modeling.py" in names) == allowed


def test_a_change_takes_another_file_of_the_same_model(hub: ModelHub, home: Home) -> None:
    before = plan(home, "org/Model-GGUF").require()
    asked = hub.sent
    same = plan_change(Options(context=512), home, load_presets(home), "demo", before, 1)
    assert (same.require().model, hub.sent) == (before.model, asked), "the hub is not asked again"
    other = plan_change(Options(quant="q8_0"), home, load_presets(home), "demo", before, 1)
    assert other.require().model.files[0].name == "m-Q8_0.gguf"


def test_without_a_hub_what_is_here_is_taken(hub: ModelHub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    model = plan(home, "org/Model-GGUF").require().model
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert plan(home, "org/Model-GGUF").failure is not None
    snapshot, (file,) = Path(model.folder), model.files
    blob = snapshot.parents[1] / "blobs" / str(file.tag)
    for folder in (snapshot, blob.parent, snapshot.parents[1] / "refs"):
        folder.mkdir(parents=True)
    blob.write_bytes(REPOS["org/Model-GGUF"][file.name])
    (snapshot / file.name).symlink_to(f"../../blobs/{file.tag}")
    (snapshot.parents[1] / "refs/main").write_text(COMMIT)
    found = plan(home, "org/Model-GGUF")
    assert found.require().model == model
    assert (checks(found)["hub"].result, checks(found)["model"].result) == ("warn", "pass")


def test_an_engine_that_fetches_by_itself_is_left_to_it_without_a_hub(
    hub: ModelHub, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = plan(home, "org/folder@v1", engine="vllm", backend="docker")
    assert found.spec is not None
    assert found.spec.model.path == "org/folder"
    words = command(home, found.spec)
    assert words[words.index("--revision") + 1] == "v1"
    assert "vllm is left to fetch it" in checks(found)["hub"].detail


def test_a_plan_survives_storage(hub: ModelHub, home: Home) -> None:
    spec = boxed(home, "org/folder")
    assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec
