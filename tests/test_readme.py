"""The README is true: its tables are those of the code."""

import re
from dataclasses import fields, is_dataclass
from typing import Any

from app.domain.money import Micro, format_amount
from app.settings import Settings
from tests.readme import README, replaced

TEXT = README.read_text("utf-8")


def test_the_generated_tables_are_up_to_date() -> None:
    """If not: `python -m tests.readme`."""
    assert replaced(TEXT) == TEXT


def test_every_setting_is_described_with_its_default() -> None:
    described = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]*)` \|", TEXT, re.MULTILINE))
    assert described == dict(_defaults(Settings(), ""))


def _defaults(settings: Any, prefix: str) -> list[tuple[str, str]]:
    found = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found += _defaults(value, f"{prefix}{field.name}.")
        else:
            found.append((f"{prefix}{field.name}", _toml(value)))
    return found


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Micro):
        return f'"{format_amount(value)}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int) and value >= 1_000:
        return f"{value:_}"
    if isinstance(value, tuple):
        return str(list(value))
    return f'"{value}"' if isinstance(value, str) else str(value)
