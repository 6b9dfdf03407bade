"""What real requests say about an engine: that they are answered, or that they are in flight to it."""

import asyncio
import sqlite3
import time
from contextlib import closing, suppress

import httpx2

from app.processes import holder
from app.settings import Home
from app.store.sqlite import connect_reader

METRICS_TIMEOUT_S = 2.0


class Traffic:
    """The gateway's account of requests, from the store and from its metrics."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def served_since(self, attempt_id: str, seconds: float) -> bool:
        """Whether a request to the attempt has succeeded in the last `seconds`."""
        return await asyncio.to_thread(self._last_answer, attempt_id, seconds)

    async def in_flight(self, instance: str) -> bool:
        """Whether requests are in flight to the instance of this name; also true while the gateway cannot be asked."""
        facts = await asyncio.to_thread(holder, self._home.gateway_lock)
        if facts is None:
            return False
        try:
            async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=METRICS_TIMEOUT_S) as client:
                answer = await client.get(f"{facts.get('url')}/metrics")
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return True
        return answer.status_code != 200 or _in_flight(answer.text, instance) > 0

    def _last_answer(self, attempt_id: str, seconds: float) -> bool:
        row = None
        with suppress(sqlite3.Error), closing(connect_reader(self._home.store)) as connection:
            row = connection.execute(
                "SELECT started_at + coalesce(duration_us, 0) AS ended FROM requests"
                " WHERE attempt_id = ? AND status = 200 ORDER BY id DESC LIMIT 1",
                (attempt_id,),
            ).fetchone()
        return row is not None and row["ended"] > time.time_ns() // 1_000 - seconds * 1_000_000


def _in_flight(metrics: str, instance: str) -> float:
    """The sum of `stoker_in_flight` over the attempts of one instance, in Prometheus' text format."""
    lines = (line for line in metrics.splitlines() if line.startswith("stoker_in_flight{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'instance="{instance}"' in line)
