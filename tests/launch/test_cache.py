"""What this machine has of the hub's models: listed with what needs it, compared, removed without what is shared."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.domain.variant import ModelFile, ModelRef
from app.launch import cache
from app.launch.models import cache_of
from app.settings import Home
from app.store import wishes
from tests.control.support import bundled_spec, new_home, wish
from tests.launch.model_hub import COMMIT, tag

OTHER = COMMIT[::-1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return new_home(tmp_path / "home")


def keep(home: Home, repo: str, commit: str, files: dict[str, bytes], ref: str = "main") -> Path:
    """Put files into the cache as the hub's library does; the folder of the repository."""
    folder = cache_of(home) / f"models--{repo.replace('/', '--')}"
    for name, data in files.items():
        path, blob = folder / "snapshots" / commit / name, folder / "blobs" / tag(name, data)
        for each in (path, blob, folder / "refs" / ref):
            each.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        path.symlink_to(Path("../../blobs" if "/" not in name else "../../../blobs") / blob.name)
    (folder / "refs" / ref).write_text(commit)
    return folder


def model(home: Home, repo: str, files: dict[str, bytes]) -> ModelRef:
    folder = cache_of(home) / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT
    known = tuple(ModelFile(name, len(data), tag(name, data)) for name, data in files.items())
    return ModelRef(repo, "hub", str(folder / known[0].name), repo=repo, revision=COMMIT, files=known)


def launch(home: Home, name: str, repo: str, files: dict[str, bytes]) -> None:
    wish(home, wishes.launch, name, bundled_spec(model=model(home, repo, files)), 1, "test")


def test_nothing_is_here_yet(home: Home, tmp_path: Path) -> None:
    assert cache.kept(home) == []
    assert cache.kept(Home(tmp_path / "none", tmp_path / "none")) == []
    assert cache.names_in_cache(home) == []


def test_what_is_here_is_told_with_who_needs_it(home: Home) -> None:
    files = {"m-Q8_0.gguf": b"GGUF" * 100}
    keep(home, "org/used", COMMIT, files)
    folder = keep(home, "org/idle", COMMIT, {"config.json": b"{}", "model.safetensors": bytes(900)})
    (folder / "blobs" / "abc.incomplete").write_bytes(bytes(50))
    begun = cache_of(home) / "models--org--begun/blobs"
    begun.mkdir(parents=True)
    (begun / "abc.incomplete").write_bytes(bytes(2_000))
    launch(home, "demo", "org/used", files)
    launch(home, "lost", "org/lost", {"m.gguf": bytes(7)})
    found = {one.repo: one for one in cache.kept(home)}
    assert [*found] == ["org/begun", "org/idle", "org/lost", "org/used"]
    used, idle, lost = found["org/used"], found["org/idle"], found["org/lost"]
    assert (used.size, used.revision, used.hosts, used.variants) == (400, COMMIT, ["local"], ["demo/1"])
    assert (used.needed, used.missing) == (True, [])
    assert (idle.size, idle.begun, idle.needed) == (902, 50, False)
    assert (lost.here, lost.needed, lost.missing) == (False, True, ["m.gguf"])
    assert (found["org/begun"].begun, found["org/begun"].revision) == (2_000, None)
    assert cache.unused(home) == [("org/begun", 2_000), (f"org/idle@{COMMIT[:12]}", 952)]
    assert cache.names_in_cache(home) == ["org/idle", "org/used:Q8_0"]


def test_an_earlier_variant_is_named_and_holds_nothing_back(home: Home) -> None:
    files = {"m-Q8_0.gguf": b"GGUF"}
    keep(home, "org/old", COMMIT, files)
    launch(home, "demo", "org/old", files)
    wish(home, wishes.change, "demo", bundled_spec(), 1, "test")
    (one,) = cache.kept(home)
    assert (one.variants, one.needed) == (["demo/1"], False)
    cache.remove(home, one)
    (gone,) = cache.kept(home)
    assert (gone.here, gone.missing) == (False, ["m-Q8_0.gguf"])


def test_an_engine_elsewhere_has_fetched_it_there(home: Home) -> None:
    there = replace(model(home, "org/far", {"m.gguf": b"x"}), path="org/far", files=())
    spec = bundled_spec(model=there, engine="vllm", backend="docker", host="gpu1")
    wish(home, wishes.launch, "far", spec, 1, "test")
    (one,) = cache.kept(home)
    assert (one.here, one.hosts, one.variants) == (False, ["gpu1"], ["far/1"])


def test_what_is_needed_stays(home: Home) -> None:
    files = {"m.gguf": b"GGUF"}
    folder = keep(home, "org/used", COMMIT, files)
    launch(home, "demo", "org/used", files)
    (one,) = cache.find(home, "org/used")
    with pytest.raises(StokerError) as caught:
        cache.remove(home, one)
    assert (caught.value.code, "stoker rm demo" in caught.value.remedy) == ("MODEL_IN_USE", True)
    assert (folder / "snapshots" / COMMIT / "m.gguf").read_bytes() == b"GGUF"


def test_of_two_commits_one_is_removed_without_what_both_have(home: Home) -> None:
    shared, own = {"tokenizer.json": b"{}"}, {"model.safetensors": bytes(10)}
    folder = keep(home, "org/two", COMMIT, {**shared, **own})
    keep(home, "org/two", OTHER, {**shared, "model.safetensors": bytes(20), "sub/x.json": b"[]"}, "next")
    assert len(cache.find(home, "org/two")) == 2
    (one,) = cache.find(home, f"ORG/two@{OTHER[:6]}")
    cache.remove(home, one)
    assert sorted(path.name for path in (folder / "blobs").iterdir()) == sorted(
        [tag("tokenizer.json", b"{}"), tag("model.safetensors", bytes(10))]
    )
    assert [path.name for path in (folder / "refs").iterdir()] == ["main"]
    (last,) = cache.find(home, "org/two")
    cache.remove(home, last)
    assert not folder.exists()
    with pytest.raises(StokerError, match="no model `org/two`"):
        cache.find(home, "org/two")


def test_files_that_are_not_what_the_hub_has_are_named(home: Home) -> None:
    files = {"config.json": b"{}", "model.safetensors": bytes(1_000), "tokenizer.json": b"[]"}
    folder = keep(home, "org/m", COMMIT, files)
    launch(home, "demo", "org/m", {**files, "absent.json": b"{}"})
    (one,) = cache.find(home, "org/m")
    read: list[str] = []
    assert cache.wrong(home, one, read.append) == {"absent.json": "it is missing"}
    assert set(read) == {*files, "absent.json"}
    (folder / "blobs" / tag("config.json", b"{}")).write_bytes(b"{ }")
    (folder / "blobs" / tag("model.safetensors", bytes(1_000))).write_bytes(b"\1" * 1_000)
    (folder / "blobs" / tag("tokenizer.json", b"[]")).unlink()
    found = cache.wrong(home, one, read.append)
    assert found["config.json"] == "3 bytes, not 2"
    assert found["model.safetensors"].startswith("its checksum begins with")
    assert found["tokenizer.json"] == "it is missing"
