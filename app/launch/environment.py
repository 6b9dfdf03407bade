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
    merged = {**read_values(home, spec.env_file), **values}
    return replace(spec, env_names=tuple(sorted(merged)), env_file=keep_values(home, merged))


def drop_environment(home: Home, spec: VariantSpec) -> None:
    """Delete the file of a variant that was never recorded."""
    drop_values(home, spec.env_file)


def keep_values(home: Home, values: Mapping[str, str]) -> str:
    """Write values into a file of their own; its name."""
    name = ulid()
    home.make()
    path = home.keys / f"env-{name}.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(values), file)
    return name


def drop_values(home: Home, name: str | None) -> None:
    """Delete the file of values called `name`."""
    if name is not None:
        (home.keys / f"env-{name}.json").unlink(missing_ok=True)


def read_values(home: Home, name: str | None) -> dict[str, str]:
    """The values in the file called `name`; none for None. Raises OSError and ValueError."""
    if name is None:
        return {}
    values: dict[str, str] = json.loads((home.keys / f"env-{name}.json").read_text("utf-8"))
    return values
