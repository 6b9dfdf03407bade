"""What people type, turned into values: names, sizes, times; and the options that several commands share."""

import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from app.domain.failures import StokerError
from app.domain.money import parse_amount
from app.domain.names import valid_name
from app.domain.text import safe
from app.domain.variant import FlagValue
from app.settings import find_home

Command = TypeVar("Command", bound=Callable[..., Any])

_CONTEXT = re.compile(r"([0-9]{1,10})([kK]?)")
_MEMORY = re.compile(r"([0-9]{1,15})([kmgtKMGT]?)(i?[bB])?")
_DURATION = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST_S = 100 * 365 * 86_400


class NameType(click.ParamType[str]):
    """The name of a deployment that exists; completed from the store."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not valid_name(value):
            raise StokerError("NOT_FOUND", f"There is no deployment `{safe(value, 80)}`.", "List them: `stoker ps`.")
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _known_names() if name.startswith(incomplete)]


class ContextType(click.ParamType[int]):
    """Tokens: a positive integer, `32k` is 32768."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _CONTEXT.fullmatch(str(value))
        if match is None or not (number := int(match[1]) * (1024 if match[2] else 1)):
            self.fail(f"`{safe(str(value), 80)}` is no number of tokens; give a positive integer, or 32k.", param, ctx)
        return number


class MemoryType(click.ParamType[int]):
    """Bytes: `400M`, `2G`; units are powers of 1024, as container runtimes read them."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _MEMORY.fullmatch(str(value))
        number = int(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0
        if not 0 < number < 2**60:
            self.fail(f"`{safe(str(value), 80)}` is no size; give bytes, or 400M, or 2G.", param, ctx)
        return number


class AmountType(click.ParamType[int]):
    """Money in micro-units, more than none: `25`, `0.50`."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            amount = parse_amount(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not amount:
            self.fail("nothing is no amount to put in.", param, ctx)
        return amount


class DurationType(click.ParamType[int]):
    """A length of time in microseconds: `90s`, `15m`, `24h`, `7d`, `1h30m`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        seconds = _seconds(str(value))
        if seconds is None:
            self.fail(f"`{safe(str(value), 80)}` is no length of time; give 90s, 15m, 24h or 7d.", param, ctx)
        return seconds * 1_000_000


class MomentType(click.ParamType[int]):
    """A point in time in UTC microseconds: an ISO date or time of this machine's zone, or a length of time from now."""

    name = "time"

    def __init__(self, *, past: bool) -> None:
        self._past = past

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        now = time.time_ns() // 1_000
        seconds = _seconds(str(value))
        if seconds is not None:
            return now + seconds * (-1_000_000 if self._past else 1_000_000)
        try:
            at = int(datetime.fromisoformat(str(value)).astimezone().timestamp() * 1_000_000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"`{safe(str(value), 80)}` is no time; give 24h, 7d or 2030-01-31T12:00.", param, ctx)
        if not self._past and at <= now:
            self.fail(f"`{safe(str(value), 80)}` is past.", param, ctx)
        return max(0, at)


class SettingType(click.ParamType[tuple[str, FlagValue]]):
    """An engine flag: `key=value`, or `key` alone for one that takes no value."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, FlagValue]:
        key, equals, text = str(value).removeprefix("--").partition("=")
        return key, text if equals else True


class VariableType(click.ParamType[tuple[str, str]]):
    """A variable for the engine: `NAME=value`, or `NAME` alone to take its value from this environment."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals:
            if name not in os.environ:
                self.fail(f"`{safe(name, 80)}` is not set in this environment; give NAME=value.", param, ctx)
            text = os.environ[name]
        if "\0" in text:
            self.fail(f"the value of `{safe(name, 80)}` holds a NUL character.", param, ctx)
        return name, text


def name_argument(command: Command) -> Command:
    """The deployment that a command is about."""
    return click.argument("name", type=NameType())(command)


def json_option(command: Command) -> Command:
    """`--json`: one document on stdout instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def wait_option(what: str) -> Callable[[Command], Command]:
    """`--wait`: return when it is done instead of at once."""
    return click.option("--wait", is_flag=True, help=f"Return when {what}.")


def _seconds(text: str) -> int | None:
    if not _DURATION.fullmatch(text):
        return None
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(\D)", text))
    return seconds if seconds <= _LONGEST_S else None


def _known_names() -> list[str]:
    from app.store import read

    try:
        with read.reading(find_home().store) as connection:
            return [d.name for d in read.deployments(connection)]
    except StokerError:
        return []  # completion has nowhere to say what is wrong
