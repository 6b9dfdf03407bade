"""A model's configuration is hostile input: every value is taken by name, with its type and its bounds checked."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from app.domain.failures import StokerError
from app.domain.text import safe

CONFIG_BYTES = 4_194_304
"""Largest config.json that is read: real ones are a few kilobytes, those that list every tensor under a megabyte."""
_DEPTH = 32


def parse_config(text: str | bytes) -> dict[str, Any]:
    """The JSON object in `text`. Raises MODEL_LOAD_ERROR for anything else: too long, too deep, NaN, no object."""
    if len(text) > CONFIG_BYTES:
        refuse(f"config.json is larger than {CONFIG_BYTES:,} bytes")
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        refuse("config.json is nested too deeply")
    except (ValueError, UnicodeDecodeError) as error:
        refuse(f"config.json is no JSON: {error}")
    if not isinstance(data, dict):
        refuse("config.json holds no object")
    if _deeper(data, _DEPTH):
        refuse("config.json is nested too deeply")
    return data


def refuse(what: str) -> NoReturn:
    """Raise MODEL_LOAD_ERROR saying what is wrong with a model's description."""
    raise StokerError("MODEL_LOAD_ERROR", f"The model cannot be understood: {safe(what, 200)}.", _REMEDY)


_REMEDY = "Check that it is the model's own config.json, or choose another model."


class Fields:
    """Typed access to one table of a configuration. A value that is null counts as absent."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def has(self, name: str) -> bool:
        """Whether there is such a value."""
        return self.data.get(name) is not None

    def whole(self, *names: str, most: int, least: int = 0, default: int | None = None) -> int:
        """The first of `names` that is there, a whole number from `least` to `most`; else `default`, or refuse."""
        found = self.maybe(*names, most=most, least=least)
        if found is not None:
            return found
        if default is None:
            refuse(f"`{names[0]}` is missing")
        return default

    def maybe(self, *names: str, most: int, least: int = 0) -> int | None:
        """Like `whole`, None if none of `names` is there."""
        name = next((name for name in names if self.has(name)), None)
        return None if name is None else whole_number(name, self.data[name], least, most)

    def alike(self) -> "Fields":
        """The same, with one number in the place of each list that repeats it for every layer (Hunyuan)."""
        single = {name: v[0] for name, v in self.data.items() if isinstance(v, list) and v and v.count(v[0]) == len(v)}
        return Fields({**self.data, **{name: v for name, v in single.items() if isinstance(v, int)}})

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            refuse(f"`{name}` is {value!r}, not true or false")
        return value

    def text(self, *names: str, default: str = "") -> str:
        """The first of `names` that is there, a short text."""
        name = next((name for name in names if self.has(name)), None)
        value = default if name is None else self.data[name]
        if not isinstance(value, str) or len(value) > 4_096:
            refuse(f"`{name}` is {value!r}, not a text")
        return value

    def items(self, name: str, most: int = 65_536) -> Sequence[Any]:
        """A list; empty if it is absent."""
        value = self.data.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            refuse(f"`{name}` is no list of at most {most:,} entries")
        return value

    def table(self, name: str) -> "Fields":
        """A nested object; empty if it is absent."""
        value = self.data.get(name)
        if value is None:
            return Fields({})
        if not isinstance(value, dict):
            refuse(f"`{name}` is no object")
        return Fields(value)


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """`value` as an integer; a float without a fraction is one, a truth value is none. Else refuse."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        shown = f"{value!r:.60}" if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
        refuse(f"`{name}` is {shown}, not a whole number from {least:,} to {most:,}")
    return value


def _deeper(value: Any, left: int) -> bool:
    if isinstance(value, dict):
        return left == 0 or any(_deeper(item, left - 1) for item in value.values())
    return isinstance(value, list) and (left == 0 or any(_deeper(item, left - 1) for item in value))


def _no_constant(word: str) -> NoReturn:
    refuse(f"config.json holds {word}")
