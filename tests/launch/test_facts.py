from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.launch import facts
from app.settings import Home
from tests.launch import model_hub
from tests.launch.weights_files import files_of_a_folder, safetensors, small_gguf, written

FOLDER = files_of_a_folder()
TENSORS = 2 * (96 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 64))
LARGE = {
    **FOLDER,
    "model-00002-of-00002.safetensors": FOLDER["model-00002-of-00002.safetensors"],
    "other.safetensors": safetensors({"x": (1 << 20,)}),
}
REPOS: Mapping[str, Mapping[str, bytes]] = {
    "org/parts": LARGE,
    "org/one": {"config.json": FOLDER["config.json"], "model.safetensors": safetensors({"a": (64, 64)})},
    "org/gguf": {"m-Q8_0.gguf": small_gguf(), "m-Q4_K_M.gguf": small_gguf(tied=False), "mmproj-f16.gguf": b"x"},
    "org/nothing": {"README.md": b"hello"},
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state", tmp_path / "config")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[model_hub.ModelHub]:
    with model_hub.serving(REPOS) as serving:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", serving.url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            serving.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        yield serving


def test_a_folder_of_several_files(tmp_path: Path, home: Home) -> None:
    found = facts.learn(str(written(tmp_path / "model", FOLDER)), home)
    assert (found.format, found.weights.basis, found.weights.total) == ("safetensors", "headers", TENSORS)
    assert found.shape.layers[0].key == 32


def test_a_folder_without_weights_is_known_by_its_parameters(tmp_path: Path, home: Home) -> None:
    found = facts.learn(str(written(tmp_path / "model", {"config.json": FOLDER["config.json"]})), home)
    assert found.weights.basis == "params"
    assert found.weights.total == pytest.approx(TENSORS, rel=0.02)


def test_a_part_that_is_missing_is_named(tmp_path: Path, home: Home) -> None:
    folder = written(tmp_path / "model", FOLDER)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(StokerError, match="model-00002-of-00002") as caught:
        facts.learn(str(folder), home)
    assert caught.value.code == "MUST_REDOWNLOAD"


def test_a_gguf_file(tmp_path: Path, home: Home) -> None:
    path = written(tmp_path, {"a.gguf": small_gguf()}) / "a.gguf"
    found = facts.learn(str(path), home)
    assert (found.format, found.weights.basis) == ("gguf", "headers")


def test_a_gguf_file_of_two_parts(tmp_path: Path, home: Home) -> None:
    names = ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    folder = written(tmp_path, dict.fromkeys(names, small_gguf()))
    one = facts.learn(str(written(tmp_path, {"a.gguf": small_gguf()}) / "a.gguf"), home)
    assert facts.learn(str(folder / names[0]), home).weights.total == 2 * one.weights.total


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "MODEL_NOT_FOUND"),
        ({"config.json": b"{"}, "MODEL_LOAD_ERROR"),
        ({"config.json": b"{}"}, "MODEL_LOAD_ERROR"),
        ({"config.json": b" " * 5_000_000}, "MODEL_LOAD_ERROR"),
        ({"config.json": FOLDER["config.json"], "model.safetensors": b"junk"}, "MODEL_LOAD_ERROR"),
        ({"a.gguf": b"junk"}, "MODEL_LOAD_ERROR"),
    ],
)
def test_a_folder_that_is_no_model(tmp_path: Path, home: Home, files: dict[str, bytes], code: str) -> None:
    with pytest.raises(StokerError) as caught:
        facts.learn(str(written(tmp_path / "model", files)), home)
    assert caught.value.code == code


def test_a_model_on_the_hub_is_known_by_its_headers_alone(hub: model_hub.ModelHub, home: Home) -> None:
    found = facts.learn("org/parts", home)
    assert (found.weights.basis, found.weights.total) == ("headers", TENSORS)
    assert found.revision == model_hub.COMMIT
    # `other.safetensors` is not of the index, so its two megabytes are not asked for.
    assert hub.sent < sum(len(data) for data in FOLDER.values()) + 10_000


def test_one_of_several_gguf_files_is_chosen(hub: model_hub.ModelHub, home: Home) -> None:
    assert not facts.learn("org/gguf", home).shape.tied
    assert facts.learn("org/gguf", home, quant="q8_0").shape.tied
    with pytest.raises(StokerError, match="no GGUF file of q2_k"):
        facts.learn("org/gguf", home, quant="q2_k")


def test_a_hub_that_ignores_ranges_is_read_no_further_than_needed(hub: model_hub.ModelHub, home: Home) -> None:
    hub.whole = True
    assert facts.learn("org/gguf", home).weights.basis == "headers"


@pytest.mark.parametrize(
    ("repo", "status", "word", "code"),
    [
        ("org/one", 401, "GatedRepo", "MODEL_GATED"),
        ("org/one", 403, "GatedRepo", "MODEL_GATED"),
        ("org/one", 404, "RepoNotFound", "MODEL_NOT_FOUND"),
        ("org/one", 500, "", "OFFLINE"),
        ("org/absent", 404, "RepoNotFound", "MODEL_NOT_FOUND"),
        ("org/nothing", 200, "", "MODEL_NOT_FOUND"),
    ],
)
def test_what_the_hub_refuses_is_said(
    hub: model_hub.ModelHub, home: Home, repo: str, status: int, word: str, code: str
) -> None:
    if status != 200:
        hub.refuse[repo] = (status, word)
    with pytest.raises(StokerError) as caught:
        facts.learn(repo, home)
    assert caught.value.code == code


def test_a_connection_that_breaks_is_said(hub: model_hub.ModelHub, home: Home) -> None:
    hub.cut = 300
    with pytest.raises(StokerError) as caught:
        facts.learn("org/gguf", home)
    assert caught.value.code == "OFFLINE"


def test_without_a_hub_a_copy_on_this_machine_is_read(hub: model_hub.ModelHub, home: Home, tmp_path: Path) -> None:
    hub.refuse["org/parts"] = (503, "")
    with pytest.raises(StokerError) as caught:
        facts.learn("org/parts", home)
    assert caught.value.code == "OFFLINE"
    cache = tmp_path / "cache" / "models--org--parts"
    written(cache / "snapshots" / model_hub.COMMIT, FOLDER)
    written(cache / "refs", {"main": model_hub.COMMIT.encode()})
    assert facts.learn("org/parts", home).weights.total == TENSORS


@pytest.mark.parametrize("name", ["no such thing", "a/b/c", "../../etc", "org/\x1b[31mred"])
def test_what_names_no_model_is_not_looked_for_on_the_hub(hub: model_hub.ModelHub, home: Home, name: str) -> None:
    with pytest.raises(StokerError) as caught:
        facts.learn(name, home)
    assert caught.value.code == "MODEL_NOT_FOUND"
    assert hub.sent == 0
