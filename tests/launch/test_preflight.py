"""The checks of a form while it is filled in: the newest form counts, whoever answers late."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from app.launch.options import Options
from app.launch.preflight import Outcome, Preflight
from app.settings import Home

DEADLINE_S = 60.0


@contextmanager
def mute() -> Iterator[str]:
    """A registry that accepts and never answers; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


class Desk:
    """Somebody who fills in a form and waits for its checks."""

    def __init__(self, home: Home) -> None:
        self._news = Event()
        self.preflight = Preflight(home, self._news.set)

    def asks(self, pause_s: float = 0.0, again_s: float = 60.0, **options: object) -> None:
        self.preflight.ask(Options(**options), (), pause_s, again_s)  # type: ignore[arg-type] # options of any kind

    def waits(self, true: Callable[[Outcome], bool]) -> Outcome:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            seen = self.preflight.seen
            if seen is not None and true(seen):
                return seen
            assert time.monotonic() < deadline, seen
            self._news.wait(0.05)
            self._news.clear()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Home(tmp_path / "home", tmp_path / "home"))


def test_a_form_is_checked_whole(desk: Desk) -> None:
    assert desk.preflight.seen is None
    desk.asks(model="smollm2", context=1024)
    seen = desk.waits(lambda outcome: outcome.whole)
    assert seen.plan is not None
    assert (seen.plan.failure, seen.plan.require().context, seen.took_s > 0) == (None, 1024, True)


def test_a_registry_that_never_answers_holds_up_neither_other_checks_nor_the_next_form(desk: Desk) -> None:
    with mute() as registry:
        desk.asks(model="smollm2", image=f"{registry}/some/engine:1")
        seen = desk.waits(lambda outcome: outcome.plan is not None and outcome.plan.waiting == ("image",))
        assert seen.plan is not None
        assert {"name", "engine", "model", "balance", "plan", "fit"} & {check.name for check in seen.plan.checks}
        assert not seen.whole
        desk.asks(model="smollm2", name="next")
        found = desk.waits(lambda outcome: outcome.whole)
    assert found.plan is not None
    assert found.plan.name == "next"


def test_what_is_shown_is_stale_from_the_moment_that_the_form_changes(desk: Desk) -> None:
    desk.asks(model="smollm2")
    desk.waits(lambda outcome: outcome.whole)
    desk.asks(pause_s=DEADLINE_S, model="/no/such.gguf")
    seen = desk.preflight.seen
    assert seen is not None
    assert (seen.fresh, seen.whole) == (False, False)
    desk.asks(model="/no/such.gguf", name="now")
    found = desk.waits(lambda outcome: outcome.whole)
    assert found.plan is not None
    assert found.plan.failure is not None


def test_of_many_keys_only_what_they_come_to_is_checked(desk: Desk) -> None:
    for word in ("s", "sm", "smo"):
        desk.asks(pause_s=DEADLINE_S, model=word)
    assert desk.preflight.seen is None
    desk.asks(model="smollm2")
    assert desk.waits(lambda outcome: outcome.whole).options.model == "smollm2"


def test_the_same_form_is_asked_again_only_after_a_while_and_then_stays_fresh(desk: Desk) -> None:
    desk.asks(model="smollm2")
    first = desk.waits(lambda outcome: outcome.whole)
    desk.asks(model="smollm2")
    assert desk.preflight.seen is first
    desk.asks(again_s=0.0, model="smollm2")
    assert desk.waits(lambda outcome: outcome is not first).whole


def test_a_broken_file_is_said(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "engines.toml").write_text("x = [")
    desk.asks(model="smollm2")
    seen = desk.waits(lambda outcome: outcome.whole)
    assert seen.plan is None
    assert seen.error is not None
    assert seen.error.code == "CONFIG_INVALID"


def test_after_cancelling_the_same_can_be_asked_again(desk: Desk) -> None:
    desk.asks(pause_s=DEADLINE_S, model="smollm2")
    desk.preflight.cancel()
    desk.asks(model="smollm2")
    assert desk.waits(lambda outcome: outcome.whole).fresh
