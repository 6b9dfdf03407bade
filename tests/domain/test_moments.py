"""Times still to come, as people type them."""

from datetime import UTC, datetime

import pytest

from app.domain.quantities import moment_us

NOW = int(datetime(2030, 6, 15, 12, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_length_of_time_counts_from_now() -> None:
    assert moment_us("30d", NOW) == NOW + 30 * 86_400_000_000
    assert moment_us("1h30m", NOW) == NOW + 5_400_000_000


def test_a_date_is_of_this_machines_zone_unless_it_says_else() -> None:
    at = int(datetime(2031, 1, 31, 12, tzinfo=UTC).timestamp()) * 1_000_000
    assert moment_us("2031-01-31T12:00Z", NOW) == at
    local = int(datetime(2031, 1, 31).astimezone().timestamp()) * 1_000_000
    assert moment_us("2031-01-31", NOW) == local


@pytest.mark.parametrize("text", ["", "soon", "0s", "-1d", "30", "2031-13-01", "9" * 30 + "d", "0001-01-01", "\x1b[2J"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|is past") as caught:
        moment_us(text, NOW)
    assert "\x1b" not in str(caught.value)


def test_what_is_past_is_said() -> None:
    with pytest.raises(ValueError, match="is past"):
        moment_us("2030-06-15T11:59Z", NOW)


def test_a_length_of_time_may_count_back() -> None:
    assert moment_us("2h", NOW, past=True) == NOW - 7_200_000_000
    assert moment_us("2030-06-15T11:59Z", NOW, past=True) == NOW - 60_000_000
