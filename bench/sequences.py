"""Random sequences of launches, stops, crashes, kills, clock jumps, suspends and top-ups on a played host, each billed
to the micro-unit or named by its seed.

`python -m bench.sequences [--count 10000] [--seed N]` prints a JSON line for every thousand.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from bench.figures import figure
from tests.control.sequences import fresh_seed, run

AT_ONCE = 1_000


def main() -> None:
    """Try so many sequences; the first that is billed wrong ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=fresh_seed())
    options = parser.parse_args()
    logging.disable()
    for start in range(options.seed, options.seed + options.count, AT_ONCE):
        count = min(AT_ONCE, options.seed + options.count - start)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            entries = run(count, start, Path(folder))
        took = time.perf_counter() - began
        figure("a sequence", took / count * 1_000, "ms", seed=start, count=count, entries=entries)


if __name__ == "__main__":
    main()
