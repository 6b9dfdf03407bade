"""Fetching a model of the hub: whole, cut, killed, damaged, closed, cancelled, and onto a disk that is full."""

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.domain.failures import StokerError
from app.domain.variant import ModelRef
from app.launch.download import SPARED, differs, download
from app.launch.hub import Access, cached_listing, listing
from app.launch.models import at_hand, kept_files
from app.launch.pinned import model_at
from app.settings import Home
from tests.launch import model_hub
from tests.launch.model_hub import COMMIT, TOKEN, ModelHub, serving
from tests.launch.weights_files import files_of_a_folder

WEIGHTS = b"GGUF" + os.urandom(3_000_000)
REPOS = {
    "org/gguf": {"m-Q8_0.gguf": WEIGHTS, "m-F16.gguf": bytes(10), "README.md": b"#"},
    "org/folder": {**files_of_a_folder(), "modeling.py": b"import os", "README.md": b"#"},
}


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with serving(REPOS) as hub:
        yield hub


@pytest.fixture
def access(hub: ModelHub, tmp_path: Path) -> Access:
    return Access(tmp_path / "cache", hub.url)


@pytest.fixture
def model(access: Access) -> ModelRef:
    return model_at(listing("org/gguf", None, access), None, ())


class Watched:
    """Notes how far a download is, and gives it up once it has got to `until` bytes."""

    def __init__(self, until: int | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self._until = until

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))

    def cancelled(self) -> bool:
        return self._until is not None and bool(self.seen) and self.seen[-1][0] >= self._until


def run(model: ModelRef, access: Access, watched: Watched | None = None, *, compare: bool = False) -> Path | None:
    watched = watched or Watched()
    return download(model, access, watched.progress, watched.cancelled, compare=compare)


def blob(model: ModelRef, access: Access) -> Path:
    return access.folder(model.repo) / "blobs" / str(model.files[0].tag)


def begun(model: ModelRef, access: Access, data: bytes) -> Path:
    """What a download that was killed has left."""
    partial = blob(model, access).with_name(f"{model.files[0].tag}.incomplete")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(data)
    return partial


def test_a_file_is_fetched_into_the_hubs_own_cache(model: ModelRef, access: Access, hub: ModelHub) -> None:
    watched = Watched()
    path = run(model, access, watched)
    assert path == Path(model.path) == access.folder("org/gguf") / "snapshots" / COMMIT / "m-Q8_0.gguf"
    assert path.read_bytes() == WEIGHTS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (path.readlink().name, watched.seen[-1]) == (model_hub.tag("x.gguf", WEIGHTS), (len(WEIGHTS),) * 2)
    assert [file.name for file in model.files] == ["m-Q8_0.gguf"], "nothing but what was chosen is fetched"
    asked = len(hub.asked)
    assert run(model, access) == path
    assert len(hub.asked) == asked, "what is here is not asked for"


def test_the_hubs_own_library_finds_what_was_fetched(model: ModelRef, access: Access) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    path = run(model, access)
    assert try_to_load_from_cache("org/gguf", "m-Q8_0.gguf", cache_dir=access.cache, revision=COMMIT) == str(path)
    (repo,) = scan_cache_dir(access.cache).repos
    assert (repo.repo_id, repo.size_on_disk) == ("org/gguf", len(WEIGHTS))


def test_a_checkpoint_comes_with_what_it_needs_and_without_its_code(access: Access, tmp_path: Path) -> None:
    found = listing("org/folder", None, access)
    model = model_at(found, None, ())
    folder = run(model, access)
    assert folder is not None
    assert (model.format, folder.name) == ("safetensors", COMMIT)
    assert {path.name for path in folder.iterdir()} == REPOS["org/folder"].keys() - {"modeling.py", "README.md"}
    assert all((folder / file.name).read_bytes() == REPOS["org/folder"][file.name] for file in model.files)
    assert "modeling.py" in [file.name for file in model_at(found, None, (), code=True).files]


def test_a_cut_connection_is_taken_up_where_it_broke(model: ModelRef, access: Access, hub: ModelHub) -> None:
    hub.cuts = [1_000_000]
    assert run(model, access) is not None
    first, second = hub.ranges("m-Q8_0.gguf")
    assert first is None
    assert second is not None


def test_what_a_killed_download_left_is_gone_on_from(model: ModelRef, access: Access, hub: ModelHub) -> None:
    partial = begun(model, access, WEIGHTS[:2_000_000])
    watched = Watched()
    path = run(model, access, watched)
    assert path is not None
    assert path.read_bytes() == WEIGHTS
    assert hub.ranges("m-Q8_0.gguf") == ["bytes=2000000-"]
    assert (2_000_000, len(WEIGHTS)) in watched.seen
    assert not partial.exists()


def test_a_hub_that_ignores_ranges_sends_the_whole(model: ModelRef, access: Access, hub: ModelHub) -> None:
    begun(model, access, WEIGHTS[:2_000_000])
    hub.whole = True
    path = run(model, access)
    assert path is not None
    assert path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("left", [bytes(2_000_000), bytes(len(WEIGHTS)), bytes(len(WEIGHTS) + 5)])
def test_what_was_left_and_is_wrong_is_fetched_anew(model: ModelRef, access: Access, left: bytes) -> None:
    begun(model, access, left)
    path = run(model, access)
    assert path is not None
    assert path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("sent", [bytes(len(WEIGHTS)), WEIGHTS[:-100], WEIGHTS + b"more"], ids=len)
def test_wrong_bytes_are_damage_and_are_not_kept(model: ModelRef, access: Access, hub: ModelHub, sent: bytes) -> None:
    hub.wrong["m-Q8_0.gguf"] = sent
    with pytest.raises(StokerError) as caught:
        run(model, access)
    assert caught.value.code == "MODEL_LOAD_ERROR"
    assert "is damaged: " in caught.value.message
    assert list(blob(model, access).parent.iterdir()) == []
    assert at_hand(model, Home(access.cache, access.cache)) is None


def test_one_that_is_given_up_goes_on_later(model: ModelRef, access: Access, hub: ModelHub) -> None:
    begun(model, access, WEIGHTS[:1_000_000])
    assert run(model, access, Watched(until=1_000_000)) is None
    assert (blob(model, access).parent / f"{model.files[0].tag}.incomplete").stat().st_size == 1_000_000
    assert run(model, access) is not None


def test_a_damaged_file_is_found_by_its_checksum_and_fetched_again(model: ModelRef, access: Access) -> None:
    assert run(model, access) is not None
    file, path = kept_files(model)[0]
    path.resolve().write_bytes(bytes(len(WEIGHTS)))
    assert at_hand(model, Home(access.cache, access.cache)) is not None, "its size is right"
    assert "checksum" in differs(file, path)
    assert run(model, access, compare=True) is not None
    assert differs(file, path) == ""
    path.unlink()
    assert differs(file, path) == "it is missing"
    assert run(model, access) is not None


def test_two_who_want_the_same_file_fetch_it_once(model: ModelRef, access: Access, hub: ModelHub) -> None:
    hub.hold = 1_000_000
    first, second = Watched(), Watched()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, model, access, watched) for watched in (first, second)]
        hub.held.set()
        assert {each.result(60) for each in runs} == {Path(model.path)}
    assert len(hub.ranges("m-Q8_0.gguf")) == 1


def test_whoever_waits_for_another_can_give_up(model: ModelRef, access: Access, hub: ModelHub) -> None:
    hub.hold = 1_000_000
    waiting, stop = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        waiting.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, model, access)
        while not hub.asked:
            assert not first.done()
        second = pool.submit(download, model, access, progress, stop.is_set)
        assert waiting.wait(60)
        stop.set()
        assert second.result(60) is None
        hub.held.set()
        assert first.result(60) is not None


def test_a_closed_model_opens_to_the_right_token(access: Access, hub: ModelHub) -> None:
    hub.closed.add("org/gguf")
    model = model_at(listing("org/gguf", None, access), None, ())
    for token in (None, "hf_wrong"):
        with pytest.raises(StokerError) as caught:
            run(model, replace(access, token=token))
        assert caught.value.code == "MODEL_GATED"
        assert ("without a token" in caught.value.message) == (token is None)
    assert run(model, replace(access, token=TOKEN)) is not None


@pytest.mark.parametrize(("status", "word", "code"), [(500, "", "OFFLINE"), (404, "RepoNotFound", "MODEL_NOT_FOUND")])
def test_a_hub_that_refuses_is_said(
    model: ModelRef, access: Access, hub: ModelHub, status: int, word: str, code: str
) -> None:
    hub.refuse["org/gguf"] = status, word
    with pytest.raises(StokerError) as caught:
        run(model, access)
    assert caught.value.code == code


def test_offline_takes_what_is_here_and_asks_nobody(model: ModelRef, access: Access, hub: ModelHub) -> None:
    closed = replace(access, offline=True)
    with pytest.raises(StokerError) as caught:
        run(model, closed)
    assert caught.value.code == "OFFLINE"
    assert run(model, access) is not None
    asked = len(hub.asked)
    assert run(model, closed) is not None
    kept = cached_listing("org/gguf", COMMIT, closed)
    assert kept is not None
    assert model_at(kept, None, ()) == model
    assert len(hub.asked) == asked


def test_a_disk_without_room_is_said_before_and_meanwhile(
    model: ModelRef, access: Access, hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [len(WEIGHTS) + SPARED - 1]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    with pytest.raises(StokerError) as caught:
        run(model, access)
    assert (caught.value.code, hub.asked) == ("DISK_FULL", [])
    free[0] += 1

    def fills(done: int, total: int) -> None:
        free[0] = SPARED - 1

    with pytest.raises(StokerError) as caught:
        download(model, access, fills, lambda: False)
    assert caught.value.code == "DISK_FULL"
    free[0] = len(WEIGHTS) + SPARED
    assert run(model, access) is not None
