"""Whether the weights of each variant are on this machine, and if not, what becomes of that."""

import json
import sqlite3
from collections.abc import Mapping

from app.domain.facts import Weights
from app.domain.text import safe
from app.domain.variant import ModelRef, VariantSpec
from app.launch.models import at_hand, kept_files, size_of
from app.settings import Home


def weights_of(connection: sqlite3.Connection, home: Home, specs: Mapping[str, VariantSpec]) -> dict[str, Weights]:
    """Where the weights stand of those variants that have not got theirs; the others are left out."""
    under_way = {
        row["variant_id"]
        for row in connection.execute(
            "SELECT json_extract(payload, '$.variant_id') AS variant_id FROM jobs"
            " WHERE kind = 'fetch' AND state IN ('queued', 'running')"
        )
    }
    found = {variant_id: Weights(present=False, copying=True) for variant_id in under_way & specs.keys()}
    for variant_id, spec in specs.items():
        if variant_id not in found and at_hand(spec.model, home) is None:
            found[variant_id] = _absent(connection, variant_id, spec.model)
    return found


def _absent(connection: sqlite3.Connection, variant_id: str, model: ModelRef) -> Weights:
    """Weights that are not here and that nobody is fetching.

    They are fetched by themselves before the first start. What a start has found here and is not here now somebody took
    away: that is said, and fetched again when somebody asks for it.
    """
    job = connection.execute(
        "SELECT state, error, created_at FROM jobs WHERE kind = 'fetch'"
        " AND json_extract(payload, '$.variant_id') = ? ORDER BY id DESC LIMIT 1",
        (variant_id,),
    ).fetchone()
    begun, started = connection.execute(
        "SELECT max(a.created_at), max(a.created_at) FILTER (WHERE a.started_at IS NOT NULL)"
        " FROM attempts a JOIN instances i ON i.id = a.instance_id WHERE i.variant_id = ?",
        (variant_id,),
    ).fetchone()
    if job is not None and job["state"] == "failed" and begun is not None and job["created_at"] >= begun:
        error = json.loads(job["error"])
        return Weights(present=False, code=error["code"], evidence=error["message"])
    if model.files and started is not None and (job is None or job["created_at"] < started):
        return _lost(model)
    return Weights(present=False)


def _lost(model: ModelRef) -> Weights:
    file, path = next((file, path) for file, path in kept_files(model) if size_of(path) != file.size)
    size, name = size_of(path), safe(file.name, 100)
    if size is None:
        return Weights(present=False, code="MUST_REDOWNLOAD", evidence=f"{name} is missing from {model.folder}.")
    evidence = f"{name} is damaged: {size:,} bytes, not {file.size:,}."
    return Weights(present=False, code="MODEL_LOAD_ERROR", evidence=evidence)
