"""What starts were seen to take: kept as it was told, and found again by kind."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.vram.peak import Peak
from app.domain.vram.printed import Taken
from app.store import peaks
from app.store.read import reading
from app.store.write import Store
from tests.store.schema import fill

TAKEN = (Taken(weights=5, kv=3, total=11), Taken(room=4))
PEAK = Peak("", "llama.cpp", "1", "llama", "q8_0", "host", 90, {"context": 512, "swa-full": True}, TAKEN, False, 1_000)


@pytest.fixture
def attempt(path: Path) -> str:
    fill(path, 2)
    with closing(sqlite3.connect(path)) as connection:
        (attempt_id,) = connection.execute("SELECT id FROM attempts LIMIT 1").fetchone()
    return str(attempt_id)


def note(store: Store, *noted: Peak) -> None:
    with store.write() as session:
        for each in noted:
            peaks.record(session, each)


def test_a_peak_comes_back_as_it_was(path: Path, store: Store, attempt: str) -> None:
    first = replace(PEAK, start=attempt)
    busy = replace(first, busy=True, at=2_000)
    note(store, first, busy)
    with reading(path) as connection:
        assert peaks.of_attempt(connection, attempt) == [first, busy]
    assert peaks.of_kind(path, "llama.cpp", "llama", "q8_0") == (busy, first)


@pytest.mark.parametrize(
    "kind", [("vllm", "llama", "q8_0"), ("llama.cpp", "qwen3", "q8_0"), ("llama.cpp", "llama", "")]
)
def test_other_kinds_are_left_out(path: Path, store: Store, attempt: str, kind: tuple[str, str, str]) -> None:
    note(store, replace(PEAK, start=attempt))
    assert peaks.of_kind(path, *kind) == ()


def test_nothing_was_measured_where_there_is_no_store(tmp_path: Path) -> None:
    assert peaks.of_kind(tmp_path / "stoker.db", "llama.cpp", "llama", "q8_0") == ()
