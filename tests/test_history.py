"""The last hour of a deployment: read a little at a time, late requests found, the minute under way too."""

from pathlib import Path

import pytest

import app.history
from app.history import MINUTES, LastHour
from app.store import read
from app.store.traffic import MINUTE_US, Minute
from tests.screens.support import Scribe

SECOND_US = 1_000_000


class Busy:
    """A deployment that was asked at some minutes ago, and its last hour."""

    def __init__(self, scribe: Scribe, *minutes: int) -> None:
        self._scribe = scribe
        self._deployment = scribe.deployment("chat")
        self._instance = scribe.instance(self._deployment)
        self._attempt = scribe.attempt(self._instance)
        self._hour = LastHour(self._deployment)
        self.ask(*(number * MINUTE_US + SECOND_US for number in minutes))

    def ask(self, *ago: int) -> None:
        """Record requests that began so many microseconds before the scribe's now."""
        self._scribe.requests(self._deployment, self._instance, self._attempt, [(each, 100) for each in ago])

    def seen(self, after: int = 0) -> list[Minute | None]:
        """What is read of the hour so many microseconds after the scribe's now."""
        with read.reading(self._scribe.home.store) as connection:
            return self._hour.read(connection, self._scribe.now + after)


def counts(minutes: list[Minute | None]) -> list[int | None]:
    return [None if each is None else each.requests for each in minutes]


def test_it_ends_now(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy = Busy(scribe, 0, 0, 1, 59, 60)
        while None in (seen := busy.seen()):
            pass
    assert len(seen) == MINUTES
    assert counts(seen[-2:]) == [1, 2]
    assert counts(seen[:2]) == [1, 0]


def test_the_minute_under_way_counts_once_it_says_something(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy = Busy(scribe, 0)
        assert busy.seen()[-1] == Minute(1, 100)
        busy.ask(-2 * SECOND_US, -3 * SECOND_US)
        assert busy.seen(9 * SECOND_US)[-1] == Minute(1, 100)
        assert busy.seen(20 * SECOND_US)[-1] == Minute(2, 100, 20 * SECOND_US)
        busy.ask(-30 * SECOND_US)
        assert busy.seen(40 * SECOND_US)[-2:] == [Minute(1, 100), Minute(3, 100, 40 * SECOND_US)]


def test_a_request_that_ends_late_is_counted_where_it_began(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        busy = Busy(scribe, 0)
        busy.seen()
        busy.ask(2 * SECOND_US)
        assert busy.seen(61 * SECOND_US)[-2] == Minute(2, 100)
        busy.seen(15 * MINUTE_US)
        busy.ask(3 * SECOND_US)
        assert busy.seen(16 * MINUTE_US)[-17] == Minute(2, 100), "that long no request takes"


def test_a_busy_hour_is_read_from_its_end_on_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.history, "BUDGET_S", 0.0)
    with Scribe(tmp_path) as scribe:
        busy = Busy(scribe, 0, 1)
        assert counts(busy.seen()[-3:]) == [None, None, 1]
        assert counts(busy.seen()[-3:]) == [None, 1, 1]
        assert counts(busy.seen()[-3:]) == [0, 1, 1]
