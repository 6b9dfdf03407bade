"""A minute of requests."""

from pathlib import Path

from app.store import read
from app.store.traffic import MINUTE_US, Minute, minute
from tests.screens.support import Scribe


def test_requests_are_counted_and_their_median_is_taken(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat")
        other = scribe.deployment("other")
        instance = scribe.instance(deployment)
        attempt = scribe.attempt(instance)
        scribe.requests(deployment, instance, attempt, [(5, 30), (6, 10), (7, 20), (MINUTE_US, 40)])
        scribe.requests(other, instance, attempt, [(5, 1_000)])
        now = scribe.now
        with read.reading(scribe.home.store) as connection:
            assert minute(connection, deployment, now - MINUTE_US, now) == Minute(3, 20)
            assert minute(connection, deployment, now - 2 * MINUTE_US, now - MINUTE_US) == Minute(1, 40)
            assert minute(connection, deployment, now - 6, now) == Minute(1, 30, 6)


def test_a_request_without_an_answer_counts_and_has_no_time(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat")
        instance = scribe.instance(deployment)
        attempt = scribe.attempt(instance)
        scribe.requests(deployment, instance, attempt, [(5, None), (6, 10), (7, None)])
        scribe.requests(deployment, instance, None, [(5, 10)])
        with read.reading(scribe.home.store) as connection:
            found = minute(connection, deployment, scribe.now - MINUTE_US, scribe.now)
    assert found == Minute(3, 10), "what never reached a replica is not counted"
