"""What a job does with weights: bring them here, or compare them with their checksums. Blocking."""

from collections.abc import Callable, Mapping
from typing import Any

from app.control.act import read_environment
from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.variant import ModelRef
from app.launch.download import differs, download
from app.launch.environment import read_values
from app.launch.fetch import Cancelled, GivenUp, Progress, fetch
from app.launch.hub import access_of
from app.launch.models import kept_files
from app.settings import Home
from app.store import read

Result = dict[str, Any]
Work = Callable[[Progress, Cancelled], Result | None]
"""What a job does: its result, or None if it was cancelled."""


def fetch_work(home: Home, payload: Mapping[str, Any]) -> Work:
    """The work of a `fetch` job. Raises NOT_FOUND for a variant that there is not."""

    def work(progress: Progress, cancelled: Cancelled) -> Result | None:
        model, given = _wanted(home, payload)
        if model.source == "bundled":
            path = fetch(home, progress, cancelled)
        else:
            access = access_of(home, given)
            path = download(model, access, progress, cancelled, compare=payload.get("compare", False))
        return None if path is None else {"path": str(path)}

    return work


def verify_work(home: Home, payload: Mapping[str, Any]) -> Work:
    """The work of a `verify` job: its result says in `wrong` which files are not what the hub has, and how."""

    def work(progress: Progress, cancelled: Cancelled) -> Result | None:
        model, _ = _wanted(home, payload)
        total, done, wrong = sum(file.size for file in model.files), 0, []
        try:
            for file, path in kept_files(model):
                if how := differs(file, path, cancelled):
                    wrong.append(f"{safe(file.name, 100)} is damaged: {how}.")
                progress(done := done + file.size, total)
        except GivenUp:
            return None
        return {"wrong": wrong}

    return work


def _wanted(home: Home, payload: Mapping[str, Any]) -> tuple[ModelRef, Mapping[str, str]]:
    """The model of a payload, and the variables that were given for it."""
    if "model" in payload:
        return ModelRef.from_json(payload["model"]), read_values(home, payload.get("env_file"))
    with read.reading(home.store) as connection:
        specs = read.specs(connection, [payload["variant_id"]])
    if not specs:
        raise StokerError("NOT_FOUND", "There is no such variant any more.")
    (spec,) = specs.values()
    return spec.model, read_environment(home, spec)
