"""`fix`: options listed, applied as a variant of its own, and refused where there is nothing to mend."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.domain.variant import ModelRef
from app.settings import Home
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import failed, instance, launch
from tests.control.support import bundled_model

EVIDENCE = "error: invalid argument: --thread (the nearest is --threads)"


def bad_flag(store: Store, name: str = "demo", **columns: Any) -> None:
    """A deployment whose engine refused a flag."""
    model = ModelRef("smollm2", "file", str(bundled_model()), size=bundled_model().stat().st_size)
    deployment = launch(store, name, model=model, flags={"thread": "2"})
    instance(store, deployment, **failed("BAD_FLAG", EVIDENCE), **columns)


def rows(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home.store)) as connection:
        return connection.execute(sql).fetchall()


def test_options_are_listed_alike_everywhere(stoker: Stoker, store: Store) -> None:
    bad_flag(store)
    document = stoker.json("fix", "demo")
    assert set(document) == {"name", "failure", "fixes"}
    assert document["failure"]["code"] == "BAD_FLAG"
    assert document["fixes"] == stoker.json("show", "demo")["fixes"]
    assert [set(fix) for fix in document["fixes"]] == [{"k", "title", "detail"}] * 2
    assert document["fixes"][0]["title"] == "thread → threads 2"
    text = stoker("fix", "demo").out
    for words in (EVIDENCE, "stoker fix demo 1  thread → threads 2", "2  without thread"):
        assert words in text
        assert words in stoker("show", "demo").out


def test_one_applied_is_a_variant_and_a_start(stoker: Stoker, store: Store, home: Home, server: dict[str, Any]) -> None:
    bad_flag(store)
    stoker("stop", "demo")
    assert stoker.json("fix", "demo", "1") == {"name": "demo", "variant": 2}
    ((spec, wish),) = rows(home, "SELECT v.spec, d.wish FROM deployments d JOIN variants v ON v.id = d.variant_id")
    assert (json.loads(spec)["flags"], wish) == ({"threads": "2"}, "running")
    last = stoker.json("events", "demo")[-1]
    assert (last["cause"], last["detail"]) == ("fix", "thread 2 → –, threads – → 2 (variant 1 → 2)")


def test_one_that_changes_nothing_starts_it_again(
    stoker: Stoker, store: Store, home: Home, server: dict[str, Any]
) -> None:
    deployment = launch(store, model=ModelRef("smollm2", "file", str(bundled_model())))
    instance(store, deployment, **failed("KILLED_EXTERNALLY", "ended by SIGKILL", retry_at=2**50))
    assert stoker.json("fix", "demo", "1") == {"name": "demo", "variant": 1}
    assert stoker.json("events", "demo")[-1]["detail"] == "try again now"
    assert len(rows(home, "SELECT 1 FROM variants")) == 1


def test_a_command_is_printed_and_not_run(stoker: Stoker, store: Store, home: Home) -> None:
    deployment = launch(store)
    instance(store, deployment, **failed("CUDA_ERROR", "CUDA error: unspecified launch failure"))
    options = stoker.json("fix", "demo")["fixes"]
    look = next(fix for fix in options if fix["detail"] == "nvidia-smi")
    result = stoker("fix", "demo", str(look["k"]))
    assert (result.status, result.out) == (0, "nvidia-smi\n")
    assert stoker.json("fix", "demo", str(look["k"])) == {"name": "demo", "command": "nvidia-smi"}
    assert len(rows(home, "SELECT 1 FROM variants")) == 1


def test_what_has_not_failed_cannot_be_mended(stoker: Stoker, store: Store) -> None:
    instance(store, launch(store))
    assert stoker.json("show", "demo")["fixes"] == []
    assert stoker("fix", "demo", "--json").error["code"] == "NOT_FOUND"
    bad_flag(store, "other")
    assert "has 2 options" in stoker("fix", "other", "7", "--json").error["message"]


@pytest.mark.parametrize("name", ["m-q4_0.gguf", "M-Q8_0.gguf"])
def test_a_file_that_is_gone_is_found_beside_itself(stoker: Stoker, store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    (tmp_path / "another-model.gguf").write_bytes(b"GGUF")
    (tmp_path / "m-f16.gguf").write_bytes(b"not one")
    deployment = launch(store, model=ModelRef("m-Q5_K_M.gguf", "file", str(tmp_path / "m-Q5_K_M.gguf"), size=9))
    instance(store, deployment, **failed("MUST_REDOWNLOAD", "failed to open GGUF file"))
    assert [fix["title"] for fix in stoker.json("fix", "demo")["fixes"]] == [f"model {name}"]
