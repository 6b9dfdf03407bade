"""What people type, turned into values: names, sizes, times; and the options that several commands share."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from app.domain import quantities
from app.domain.failures import StokerError
from app.domain.money import parse_amount
from app.domain.names import valid_name
from app.domain.text import safe
from app.domain.variant import FlagValue
from app.settings import find_home

Command = TypeVar("Command", bound=Callable[..., Any])


class NameType(click.ParamType[str]):
    """The name of a deployment that exists; completed from the store."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not valid_name(value):
            raise StokerError("NOT_FOUND", f"There is no deployment `{safe(value, 80)}`.", "List them: `stoker ps`.")
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _known_names() if name.startswith(incomplete)]


class QuantityType(click.ParamType[int]):
    """A number in the words of people, such as `32k` or `1h30m`. `parse` reads it; its ValueError is told."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _some_money(text: str) -> int:
    amount = parse_amount(text)
    if not amount:
        raise ValueError("Nothing is no amount to put in.")
    return amount


AMOUNT = QuantityType("amount", _some_money)
"""Money in micro-units, more than none: `25`, `0.50`."""
PRICE = QuantityType("amount", parse_amount)
"""Money in micro-units, nothing allowed: `0`, `0.60`."""
TOKENS = QuantityType("tokens", quantities.tokens)
"""Tokens: `4096`, `32k`."""
SIZE = QuantityType("size", quantities.size)
"""Bytes: `400M`."""
DURATION = QuantityType("time", quantities.duration_us)
"""A length of time, in microseconds: `15m`."""
PAST = QuantityType("time", lambda text: quantities.moment_us(text, time.time_ns() // 1_000, past=True))
"""A point in time, in UTC microseconds: a date, or how long ago."""
FUTURE = QuantityType("time", lambda text: quantities.moment_us(text, time.time_ns() // 1_000))
"""A point in time to come, in UTC microseconds: a date, or how long from now."""


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


def _known_names() -> list[str]:
    from app.store import read

    try:
        with read.reading(find_home().store) as connection:
            return [d.name for d in read.deployments(connection)]
    except StokerError:
        return []  # completion has nowhere to say what is wrong
