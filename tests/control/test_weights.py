"""When weights are fetched by themselves, when they are waited for, and when it is said that they are gone."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.control.weights import weights_of
from app.domain.facts import Weights
from app.domain.ids import ulid
from app.domain.variant import ModelFile, ModelRef
from app.settings import Home
from app.store import jobs, read, tables, wishes
from app.store.write import Store
from tests.control.support import bundled_spec, new_home, wish


class Story:
    """A deployment of a model of the hub, its attempts and its jobs, as the server leaves them."""

    def __init__(self, path: Path) -> None:
        self.home: Home = new_home(path / "home")
        self.file = path / "snapshots/m.gguf"
        self.file.parent.mkdir()
        files = (ModelFile("m.gguf", 10, None),)
        model = ModelRef("org/m", "hub", str(self.file), repo="org/m", revision="c" * 40, files=files)
        self.spec = bundled_spec(model=model)
        wish(self.home, wishes.launch, "demo", self.spec, 1, "test")
        with read.reading(self.home.store) as connection:
            (found,) = read.deployments(connection)
        self.variant = found.variant_id
        self.instance = ulid()
        row = tables.Instance(
            id=self.instance,
            deployment_id=found.id,
            variant_id=self.variant,
            name="demo-a",
            backend="process",
            state="pending",
            phase="allocating",
            since=1,
            created_at=1,
        )
        self._write(row)
        self._time = wishes.now_us()

    def attempt(self, *, started: bool = False) -> None:
        self._time += 1_000
        number = self._time
        row = tables.Attempt(id=ulid(), instance_id=self.instance, number=number, epoch=1, created_at=self._time)
        row.ended_at = self._time
        row.started_at = self._time if started else None
        self._write(row)

    def job(self, state: str, error: dict[str, str] | None = None) -> None:
        self._time += 1_000
        text = None if error is None else json.dumps(error)
        payload = json.dumps({"variant_id": self.variant})
        row = tables.Job(
            id=ulid(),
            kind="fetch",
            payload=payload,
            state=state,
            error=text,
            created_at=self._time,
            deadline_at=self._time + jobs.FETCH_DEADLINE_US,
        )
        self._write(row)

    @property
    def weights(self) -> Weights | None:
        with read.reading(self.home.store) as connection:
            return weights_of(connection, self.home, {self.variant: self.spec}).get(self.variant)

    def _write(self, row: Any) -> None:
        store = Store(self.home.store)
        with store.write() as session:
            session.add(row)
        store.close()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


TO_FETCH = Weights(present=False)
COMING = Weights(present=False, copying=True)


def test_before_the_first_start_they_are_fetched(story: Story) -> None:
    story.attempt()
    assert story.weights == TO_FETCH
    story.job("queued")
    assert story.weights == COMING


def test_what_is_here_is_here_unless_it_is_being_fetched_anew(story: Story) -> None:
    story.file.write_bytes(bytes(10))
    assert story.weights is None
    story.job("running")
    assert story.weights == COMING


def test_a_fetch_that_failed_ends_the_attempt_and_the_next_one_fetches(story: Story) -> None:
    story.attempt()
    story.job("failed", {"code": "OFFLINE", "message": "no hub", "remedy": ""})
    assert story.weights == Weights(present=False, code="OFFLINE", evidence="no hub")
    story.attempt()
    assert story.weights == TO_FETCH


@pytest.mark.parametrize(
    ("left", "code", "evidence"),
    [
        (None, "MUST_REDOWNLOAD", "m.gguf is missing from"),
        (4, "MODEL_LOAD_ERROR", "m.gguf is damaged: 4 bytes, not 10"),
    ],
)
def test_what_has_started_and_is_gone_is_not_fetched_unasked(
    story: Story, left: int | None, code: str, evidence: str
) -> None:
    story.job("done")
    story.attempt(started=True)
    story.attempt()
    if left is not None:
        story.file.write_bytes(bytes(left))
    found = story.weights
    assert found is not None
    assert (found.code, found.copying) == (code, False)
    assert found.evidence.startswith(evidence)
    story.job("queued")
    assert story.weights == COMING, "somebody has asked for it"
    story.attempt()
    assert story.weights == COMING
