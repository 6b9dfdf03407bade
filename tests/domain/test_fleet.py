"""How far the store can be believed."""

from app.domain.fleet import STALE_AFTER_US, Freshness, freshness, process_state

NOW = 1_800_000_000_000_000


def test_a_recent_beat_of_a_running_server_is_fresh() -> None:
    assert freshness("running", ("b", 100), "b", 100 + STALE_AFTER_US - 1, NOW) == Freshness(
        "running", NOW - STALE_AFTER_US + 1, True
    )


def test_an_old_beat_or_no_server_is_not() -> None:
    assert not freshness("running", ("b", 100), "b", 100 + STALE_AFTER_US, NOW).answering
    assert not freshness("down", ("b", 100), "b", 100, NOW).answering
    assert not freshness("starting", ("b", 100), "b", 100, NOW).answering


def test_a_beat_of_another_boot_has_no_time() -> None:
    assert freshness("running", ("a", 100), "b", 100, NOW) == Freshness("running", None, False)
    assert freshness("down", None, "b", 100, NOW) == Freshness("down", None, False)


def test_what_lock_files_say() -> None:
    assert [process_state(facts) for facts in (None, {}, {"pid": 1})] == ["down", "starting", "running"]
