"""The labelled excerpts of `../shared/data/log-corpus`, and how a detector does on them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.detector import Detector, Rules
from app.domain.findings import Finding
from app.domain.verdict import cause

PATH = Path(__file__).parents[3] / "shared/data/log-corpus/cases.jsonl"
CODES: dict[str, set[str | None]] = {
    "NONE": {None},
    "OOM": {"OOM_KILLED"},
    "MODEL_LOADING_FAILURE": {"MODEL_LOAD_ERROR", "MUST_REDOWNLOAD", "ARCH_UNSUPPORTED"},
    "MODEL_ACCESS": {"MODEL_GATED", "MODEL_NOT_FOUND", "OFFLINE"},
    "RUNTIME_ERROR": {"RUNTIME_ERROR", "CONTAINER_EXITED"},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case, and what was found in it; None for nothing."""

    case: dict[str, Any]
    found: Finding | None

    @property
    def right(self) -> bool:
        """Whether it is what the case is labelled with, or what would be defensible."""
        labels = (self.case["label"], *self.case["also"])
        code = self.found.code if self.found else None
        return any(code in CODES.get(label, {label}) for label in labels)


def outcomes(rules: Rules) -> Iterator[Outcome]:
    """What `rules` make of every case."""
    for text in PATH.read_text("utf-8").splitlines():
        case = json.loads(text)
        detector = Detector(rules)
        for _ in detector.feed("".join(f"{line}\n" for line in case["lines"]).encode()):
            pass
        standing = cause(detector.standing.values())
        yield Outcome(case, standing.finding if standing else None)
