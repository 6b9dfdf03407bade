"""Variables given at launch: their values live in a file that only the owner reads, never in the store or an argv."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from app.domain.ids import ulid
from app.domain.variant import VariantSpec
from app.settings import Home


def keep_environment(home: Home, spec: VariantSpec, values: Mapping[str, str]) -> VariantSpec:
    """`spec` with `values` added to its variables, in a new file: a variant never changes, nor does its file."""
    if not values:
        return spec
    merged = {**_read(home, spec.env_file), **values}
    name = ulid()
    home.make()
    path = home.keys / f"env-{name}.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(merged, file)
    return replace(spec, env_names=tuple(sorted(merged)), env_file=name)


def drop_environment(home: Home, spec: VariantSpec) -> None:
    """Delete the file of a variant that was never recorded."""
    if spec.env_file is not None:
        (home.keys / f"env-{spec.env_file}.json").unlink(missing_ok=True)


def _read(home: Home, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    values: dict[str, str] = json.loads((home.keys / f"env-{name}.json").read_text("utf-8"))
    return values
