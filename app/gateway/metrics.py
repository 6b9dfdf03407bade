"""Counters of the edge, and their text for Prometheus."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from app.gateway.request import Request

TTFT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds, from a warm small model to a long prompt on a CPU."""

Sample = tuple[str, dict[str, str], float]


class Metrics:
    """What has happened since the gateway started. Used by the event loop only."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], int] = defaultdict(int)
        self._tokens: dict[tuple[str, str], int] = defaultdict(int)
        self._ttft: dict[str, list[int]] = {}
        self._ttft_sum: dict[str, float] = defaultdict(float)

    def count(self, request: Request) -> None:
        """Count a request that is over."""
        name = request.deployment_name
        code = request.code or ("OK" if request.status < 400 else "CLIENT_GONE")
        self._requests[name, code] += 1
        if request.tokens_in:
            self._tokens[name, "in"] += request.tokens_in
        if request.tokens_out:
            self._tokens[name, "out"] += request.tokens_out
        if request.ttft_us is not None:
            self._observe_ttft(name, request.ttft_us / 1e6)

    def render(self, gauges: Iterable[Sample]) -> bytes:
        """The page, in the Prometheus text format 0.0.4, with `gauges` read at this moment."""
        families: dict[str, list[str]] = {}
        for name, labels, value in (*gauges, *self._counters()):
            text = ",".join(f'{label}="{_escape(word)}"' for label, word in labels.items())
            families.setdefault(name, []).append(f"{name}{{{text}}} {value:.10g}")
        lines: list[str] = []
        for name, (kind, meaning) in _FAMILIES.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            members = (name, f"{name}_bucket", f"{name}_sum", f"{name}_count") if kind == "histogram" else (name,)
            for member in members:
                lines += families.get(member, [])
        return ("\n".join(lines) + "\n").encode()

    def _observe_ttft(self, name: str, seconds: float) -> None:
        counts = self._ttft.setdefault(name, [0] * (len(TTFT_BUCKETS) + 1))
        self._ttft_sum[name] += seconds
        counts[sum(seconds > bound for bound in TTFT_BUCKETS)] += 1

    def _counters(self) -> Iterator[Sample]:
        for (name, code), count in self._requests.items():
            yield "stoker_requests_total", {"deployment": name, "code": code}, count
        for (name, direction), count in self._tokens.items():
            yield "stoker_tokens_total", {"deployment": name, "direction": direction}, count
        for name, counts in self._ttft.items():
            total = 0
            for bound, count in zip((*map(str, TTFT_BUCKETS), "+Inf"), counts, strict=True):
                total += count
                yield "stoker_ttft_seconds_bucket", {"deployment": name, "le": bound}, total
            yield "stoker_ttft_seconds_sum", {"deployment": name}, self._ttft_sum[name]
            yield "stoker_ttft_seconds_count", {"deployment": name}, total


_FAMILIES = {
    "stoker_requests_total": ("counter", "Requests that are over, by deployment and code."),
    "stoker_tokens_total": ("counter", "Tokens by deployment and direction."),
    "stoker_ttft_seconds": ("histogram", "Time to the first byte of a streamed answer."),
    "stoker_in_flight": ("gauge", "Requests at each replica now."),
    "stoker_replica_cap": ("gauge", "The most requests each replica is given at once."),
    "stoker_queue_depth": ("gauge", "Requests that wait for a replica of each deployment."),
}


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
