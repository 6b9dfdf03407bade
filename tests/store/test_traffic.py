"""An hour of requests, minute by minute."""

from pathlib import Path

from app.store import read
from app.store.traffic import MINUTE_US, Minute, by_minute
from tests.screens.support import Scribe


def test_requests_are_counted_and_their_median_taken_by_the_minute(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat")
        other = scribe.deployment("other")
        instance = scribe.instance(deployment)
        attempt = scribe.attempt(instance)
        scribe.requests(deployment, instance, attempt, [(5, 30), (6, 10), (7, 20), (MINUTE_US + 1, 40)])
        scribe.requests(deployment, instance, attempt, [(MINUTE_US + 2, 60), (9 * MINUTE_US, 1)])
        scribe.requests(other, instance, attempt, [(5, 1_000)])
        with read.reading(scribe.home.store) as connection:
            found = by_minute(connection, deployment, scribe.now, 3)
    assert found == [Minute(0, None), Minute(2, 40), Minute(3, 20)]


def test_a_request_without_an_answer_counts_and_has_no_time(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat")
        instance = scribe.instance(deployment)
        attempt = scribe.attempt(instance)
        scribe.requests(deployment, instance, attempt, [(5, None), (6, 10), (7, None)])
        scribe.requests(deployment, instance, None, [(5, 10)])
        with read.reading(scribe.home.store) as connection:
            (minute,) = by_minute(connection, deployment, scribe.now, 1)
    assert minute == Minute(3, 10), "what never reached a replica is not counted"
