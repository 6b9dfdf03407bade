"""`models`: what is here and what needs it, what is wrong with it, and what may go; and what `fix` does about it."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from app.settings import Home
from app.store.sqlite import connect_reader
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import failed, instance, launch
from tests.launch.model_hub import COMMIT, tag
from tests.launch.test_cache import OTHER, keep, model

FILES = {"m-Q8_0.gguf": b"GGUF" * 1_000}


@pytest.fixture(autouse=True)
def own_cache(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(home.state.parent / "hf"))


def fetches(home: Home) -> list[sqlite3.Row]:
    with closing(connect_reader(home.store)) as connection:
        return connection.execute("SELECT * FROM jobs WHERE kind = 'fetch'").fetchall()


def test_nothing_here_says_how_to_get_something(stoker: Stoker) -> None:
    assert "stoker models pull" in stoker("models", "ls").out
    assert stoker.json("models", "ls") == []
    assert stoker.json("models", "verify") == {"ok": True, "models": []}


def test_what_is_here_is_listed(stoker: Stoker, home: Home, store: Store) -> None:
    keep(home, "org/used", COMMIT, FILES)
    keep(home, "org/idle", OTHER, {"model.safetensors": bytes(2_500_000)})
    launch(store, "demo", model=model(home, "org/used", FILES))
    idle, used = stoker.json("models", "ls")
    assert used == {
        "name": "org/used",
        "revision": COMMIT,
        "size": 4_000,
        "partial": 0,
        "hosts": ["local"],
        "variants": ["demo/1"],
        "needed": True,
        "missing": [],
    }
    assert (idle["needed"], idle["variants"]) == (False, [])
    said = stoker("models", "ls").out
    assert all(word in said for word in ("MODEL", "01234567", "4.0 kB", "demo/1", "needed", "unused"))
    assert "Nothing needs 2.5 MB of it" in said


def test_wrong_files_are_named_and_the_status_says_so(stoker: Stoker, home: Home) -> None:
    folder = keep(home, "org/m", COMMIT, FILES)
    assert stoker.json("models", "verify", "org/m")["ok"]
    (folder / "blobs" / tag("m-Q8_0.gguf", FILES["m-Q8_0.gguf"])).write_bytes(bytes(4_000))
    result = stoker("models", "verify", "--json")
    assert (result.status, result.document["ok"]) == (1, False)
    assert "checksum" in result.document["models"][0]["wrong"]["m-Q8_0.gguf"]
    assert "m-Q8_0.gguf: its checksum begins with" in stoker("models", "verify", f"org/m@{COMMIT[:8]}").out


def test_what_a_deployment_needs_is_not_removed_and_the_rest_is(stoker: Stoker, home: Home, store: Store) -> None:
    keep(home, "org/used", COMMIT, FILES)
    folder = keep(home, "org/idle", COMMIT, {"model.safetensors": bytes(2_500)})
    launch(store, "demo", model=model(home, "org/used", FILES))
    assert stoker("models", "rm", "org/used", "--json").error["code"] == "MODEL_IN_USE"
    assert stoker.json("models", "rm", "org/idle") == {"removed": [f"org/idle@{COMMIT[:12]}"], "freed": 2_500}
    assert not folder.exists()
    assert stoker("models", "rm", "org/idle", "--json").error["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("name", "code"), [("smollm2", "MODEL_NOT_FOUND"), ("/nowhere", "MODEL_NOT_FOUND"), ("org/model", "OFFLINE")]
)
def test_what_cannot_be_pulled_is_said(stoker: Stoker, home: Home, server: Any, name: str, code: str) -> None:
    assert stoker("models", "pull", name, "--json").error["code"] == code
    assert fetches(home) == []


def test_a_damaged_model_is_fetched_again_by_fix(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    keep(home, "org/m", COMMIT, FILES)
    deployment = launch(store, "demo", model=model(home, "org/m", FILES))
    instance(store, deployment, **failed("MODEL_LOAD_ERROR", "m-Q8_0.gguf is damaged: its checksum begins with 00."))
    assert stoker.json("ps")[0]["status"] == "MUST_REDOWNLOAD"
    assert stoker.json("fix", "demo")["fixes"][0]["title"] == "fetch the file again"
    stoker.json("fix", "demo", "1")
    (job,) = fetches(home)
    assert json.loads(job["payload"]) == {"variant_id": deployment.variant_id, "compare": True}


def test_a_full_disk_is_told_what_may_go(stoker: Stoker, home: Home, store: Store) -> None:
    keep(home, "org/idle", COMMIT, {"model.safetensors": bytes(2_500)})
    deployment = launch(store, "demo", model=model(home, "org/m", FILES))
    instance(store, deployment, **failed("DISK_FULL", "There was no room left."))
    first = stoker.json("fix", "demo")["fixes"][0]
    assert "org/idle" in first["title"]
    assert stoker.json("fix", "demo", "1")["command"] == f"stoker models rm org/idle@{COMMIT[:12]}"
