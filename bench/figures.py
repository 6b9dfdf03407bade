"""How every bench prints a figure, and how it times whole commands."""

import json
import resource
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def figure(name: str, value: float | None, unit: str, **more: Any) -> None:
    """Print one figure as a JSON line. `more` is what it was measured beside, and its spread."""
    rounded = round(value, 4) if isinstance(value, float) else value
    print(json.dumps({"figure": name, "value": rounded, "unit": unit, **more}), flush=True)


def cpu_of(command: Sequence[str], env: Mapping[str, str]) -> float:
    """CPU seconds of one run of `command`, its children included. Raises CalledProcessError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=dict(env), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def paired(one: Callable[[], float], other: Callable[[], float], rounds: int) -> dict[str, float]:
    """Medians of two measurements taken in turn, and of their ratio pair by pair."""
    pairs = [(one(), other()) for _ in range(rounds)]
    return {
        "median": statistics.median(a for a, _ in pairs),
        "beside": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }
