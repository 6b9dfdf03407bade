"""Numbers and times as people read them."""

import pytest

from app.render.words import ago, brief, latency, moment, size, span, until

S = 1_000_000


@pytest.mark.parametrize(
    ("us", "expected"),
    [
        (-5, "0.0 s"),
        (400_000, "0.4 s"),
        (12 * S, "12 s"),
        (60 * S, "1 m"),
        (252 * S, "4 m 12 s"),
        (15_120 * S, "4 h 12 m"),
        (86_400 * S, "1 d"),
        (3 * 86_400 * S + 4 * 3_600 * S + 59 * S, "3 d 4 h"),
    ],
)
def test_spans(us: int, expected: str) -> None:
    assert span(us) == expected


def test_short_forms() -> None:
    assert [brief(n * S) for n in (-1, 0, 59, 60, 3_599, 7_200, 200_000)] == [
        "0s",
        "0s",
        "59s",
        "1m",
        "59m",
        "2h",
        "2d",
    ]
    assert [latency(n) for n in (0, 17_400, 999_000, 1_200_000)] == ["0 ms", "17 ms", "999 ms", "1.2 s"]


def test_ages() -> None:
    assert ago(100 * S, None) == "\N{EN DASH}"
    assert ago(100 * S, 100 * S - 1) == "now"
    assert ago(100 * S, 200 * S) == "now"
    assert ago(1_000 * S, 100 * S) == "15m ago"


def test_moments_and_sizes() -> None:
    assert moment(None) == "\N{EN DASH}"
    assert len(moment(1_795_260_575_810_356)) == len("2026-11-21 11:29:35")
    assert [size(n) for n in (None, 0, 999, 98_362_432, 1_500_000_000, 10**16)] == [
        "\N{EN DASH}", "0 B", "999 B", "98.4 MB", "1.5 GB", "10000 TB",
    ]  # fmt: skip


def test_times_to_come_and_past() -> None:
    now = 1_000 * S
    assert [until(now, at) for at in (None, now, now - 90 * S, now + 90 * S)] == ["–", "now", "1m ago", "in 1m"]
