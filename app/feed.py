"""What screens show beyond the rows: the traffic, from the requests in the store and the gateway's gauges."""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.processes import holder
from app.settings import Home
from app.store import read

WINDOW_US = 10_000_000
"""Rates are over the last ten seconds, times to a first token over the last minute."""
_TTFT_US = 60_000_000
_GAUGE = re.compile(r'stoker_(in_flight|replica_cap)\{[^}]*instance="([^"]+)"[^}]*\} (\d+)')
_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests and tokens a second, and the median time to a first token in microseconds, None if there was none."""

    requests: float = 0.0
    tokens: float = 0.0
    ttft_us: int | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rates by deployment and by instance id, and (in flight, cap) by an instance's name."""

    deployments: Mapping[str, Rate] = field(default_factory=dict)
    instances: Mapping[str, Rate] = field(default_factory=dict)
    in_flight: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def traffic(home: Home, now: int) -> Traffic:
    """The traffic at `now` (UTC microseconds). A gateway that does not answer at once is left out."""
    with read.reading(home.store) as connection:
        rows = connection.execute(
            "SELECT deployment_id, instance_id, started_at, ttft_us, tokens_out FROM requests"
            " WHERE deployment_id IN (SELECT id FROM deployments WHERE gone_at IS NULL)"
            " AND started_at > ? AND attempt_id IS NOT NULL",
            (now - _TTFT_US,),
        ).fetchall()
    by_deployment: dict[str, list[tuple[int, int | None, int]]] = {}
    by_instance: dict[str, list[tuple[int, int | None, int]]] = {}
    for row in rows:
        sample = row["started_at"], row["ttft_us"], row["tokens_out"]
        by_deployment.setdefault(row["deployment_id"], []).append(sample)
        by_instance.setdefault(row["instance_id"], []).append(sample)
    return Traffic(
        {key: _rate(samples, now) for key, samples in by_deployment.items()},
        {key: _rate(samples, now) for key, samples in by_instance.items()},
        _in_flight(home),
    )


def _rate(samples: list[tuple[int, int | None, int]], now: int) -> Rate:
    recent = [(at, tokens) for at, _, tokens in samples if at > now - WINDOW_US]
    times = sorted(ttft for _, ttft, _ in samples if ttft is not None)
    seconds = WINDOW_US / 1_000_000
    return Rate(
        len(recent) / seconds, sum(tokens for _, tokens in recent) / seconds, times[len(times) // 2] if times else None
    )


def _in_flight(home: Home) -> dict[str, tuple[int, int]]:
    url = (holder(home.gateway_lock) or {}).get("url")
    if not isinstance(url, str):
        return {}
    import http.client  # it brings half of `email`: not for the first frame

    parts = urlsplit(url)
    try:
        with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return {}
    found: dict[str, dict[str, int]] = {}
    for kind, name, value in _GAUGE.findall(text):
        found.setdefault(name, {})[kind] = int(value)
    return {name: (gauges.get("in_flight", 0), gauges.get("replica_cap", 0)) for name, gauges in found.items()}
