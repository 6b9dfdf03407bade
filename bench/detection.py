"""How good failure detection is, and how fast: `python -m bench.detection [--megabytes 1000]`.

Accuracy is over the labelled sample in `../shared/data/log-corpus`: precision and recall by code, and every wrong case.
Speed is that of `stoker scan` over a log made of the sample's formats, in MB a second of CPU time, beside ripgrep
(`$RG` or `rg`; `grep -E` where there is none) with the same alternatives over the same file. One line in a thousand of
that log is of a failure, the rest are healthy lines of the sample with other numbers: in `sample` drawn evenly, so that
one in four is of a start, in `serving` one in a hundred, as in the log of an engine that serves.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.figures import cpu_of, figure
from tests.domain.corpus import CODES, PATH, Outcome, outcomes
from tests.domain.rules import RULES, SHIPPED

_DISTINCT = 40_000_000
"""Bytes of the log that are made; the rest of it repeats them."""
_NUMBER = re.compile(r"\d+")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1_000)
    options = parser.parse_args()
    if not PATH.exists():
        sys.exit("the labelled sample is not on this machine")
    accuracy(list(outcomes(RULES)))
    with tempfile.TemporaryDirectory() as directory:
        for mix, starting in (("serving", 0.01), ("sample", None)):
            speed(Path(directory), options.megabytes * 1_000_000, mix, starting)


def accuracy(told: list[Outcome]) -> None:
    """Precision and recall by label, every wrong case, and the whole."""
    for label in sorted({o.case["label"] for o in told}):
        cases = [o for o in told if o.case["label"] == label]
        named = [o for o in told if (o.found.code if o.found else None) in CODES.get(label, {label})]
        precision = sum(o.right for o in named) / len(named) if named else None
        figure("detection_recall", _share(cases), label, precision=precision and round(precision, 4), cases=len(cases))
    for wrong in (o for o in told if not o.right):
        found = (wrong.found.code, wrong.found.evidence) if wrong.found else None
        figure("detection_wrong", None, wrong.case["label"], case=wrong.case["id"], found=found)
    failures = [o for o in told if o.case["label"] != "NONE"]
    lines = sum(o.found is not None and o.found.line == o.case["key_line"] + 1 for o in failures) / len(failures)
    alarms = Counter(o.right for o in told if o.case["label"] == "NONE")
    figure("detection_right", _share(failures), "of failures", false_alarms=alarms[False], same_line=round(lines, 4))


def speed(directory: Path, size: int, mix: str, starting: float | None) -> None:
    """MB/s of a scan and of a search for the same alternatives. `starting` is the share of lines of a start."""
    log = directory / "engine.log"
    with log.open("wb") as file:
        block = b"".join(_lines(_DISTINCT, starting))
        while file.tell() < size:
            file.write(block)
        written = file.tell()
    env = {"PATH": os.environ["PATH"], "STOKER_HOME": str(directory / "home"), "LC_ALL": "C"}
    scan = cpu_of([sys.executable, "-m", "app.cli", "scan", str(log)], env)
    searcher = os.environ.get("RG") or shutil.which("rg") or "grep"
    options = ["-j1", "--no-mmap"] if searcher.endswith("rg") else ["-E"]
    alternatives = "|".join(sorted({re.escape(text) for rule in SHIPPED for text in rule.find}))
    alternatives = alternatives.replace("\\ ", " ").replace("\\-", "-").replace("\\#", "#")
    search = cpu_of([searcher, *options, "-a", "-c", "-e", alternatives, str(log)], env)
    figure(
        "detection_speed", written / 1e6 / scan, "MB/s", log=mix, beside=Path(searcher).name,
        beside_speed=round(written / 1e6 / search, 1), ratio=round(search / scan, 3), megabytes=written // 1_000_000,
        rules=len(SHIPPED),
    )  # fmt: skip


def _lines(size: int, starting: float | None) -> Iterator[bytes]:
    cases = [json.loads(text) for text in PATH.read_text("utf-8").splitlines()]
    healthy = [line for case in cases if case["label"] == "NONE" for line in case["lines"]]
    failing = [line for case in cases if case["label"] != "NONE" for line in case["lines"]]
    if starting is not None:
        telling = [line for line in healthy if RULES.concerned(line.encode())]
        quiet = [line for line in healthy if line not in telling]
    chance = random.Random(0)  # noqa: S311 # the same log on every run
    made = 0
    while made < size:
        kind = healthy if starting is None else telling if chance.random() < starting else quiet
        line = chance.choice(failing if chance.random() < 0.001 else kind)
        line = _NUMBER.sub(lambda found: "".join(chance.choices("0123456789", k=len(found[0]))), line)
        data = line.encode() + b"\n"
        made += len(data)
        yield data


def _share(told: list[Outcome]) -> float:
    return sum(o.right for o in told) / len(told)


if __name__ == "__main__":
    main()
