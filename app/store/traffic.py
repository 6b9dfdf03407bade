"""What a deployment's requests were like, minute by minute."""

import sqlite3
from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Minute:
    """Requests that reached a replica, and the median time to a first token in microseconds, None if there was none."""

    requests: int = 0
    ttft_us: int | None = None


def by_minute(connection: sqlite3.Connection, deployment_id: str, now: int, minutes: int) -> list[Minute]:
    """The last `minutes` minutes before `now` (UTC microseconds), oldest first."""
    values = {"id": deployment_id, "now": now, "minute": MINUTE_US, "from": now - minutes * MINUTE_US}
    found = {row["back"]: Minute(row["requests"], row["ttft_us"]) for row in connection.execute(_BY_MINUTE, values)}
    return [found.get(back, Minute()) for back in range(minutes - 1, -1, -1)]


# The median is the value in the middle of those that there are: rows without one are sorted behind them.
_BY_MINUTE = """
    SELECT back, count(*) AS requests, max(CASE WHEN place = (timed + 1) / 2 THEN ttft_us END) AS ttft_us
    FROM (
        SELECT back, ttft_us,
               count(ttft_us) OVER (PARTITION BY back) AS timed,
               row_number() OVER (PARTITION BY back ORDER BY ttft_us IS NULL, ttft_us) AS place
        FROM (
            SELECT (:now - started_at) / :minute AS back, ttft_us FROM requests
            WHERE deployment_id = :id AND started_at > :from AND started_at <= :now AND attempt_id IS NOT NULL
        )
    )
    GROUP BY back
"""
