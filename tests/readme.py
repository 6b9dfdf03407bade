"""The tables of the README that are made from the code: `python -m tests.readme` writes them anew."""

from collections.abc import Iterator
from pathlib import Path

import click

from app.actions import ACTIONS, shown_key
from app.cli.main import cli
from app.domain.explain import everything, group_of
from app.domain.failures import CATALOGUE, Failure, Retry

README = Path(__file__).parents[1] / "README.md"
_RETRIED = {Retry.NEVER: "", Retry.ONCE: "once; yes if it has served", Retry.BACKOFF: "yes"}


def tables() -> dict[str, str]:
    """Every generated table by the name of its marks."""
    return {
        "codes": _table(_codes()),
        "commands": _table(_commands()),
        "keys": _table(_keys()),
        "states": _table(_states()),
    }


def replaced(text: str) -> str:
    """`text` with the tables between their marks made anew."""
    for name, table in tables().items():
        mark = f"<!-- {name} -->\n"
        before, found, rest = text.partition(mark)
        if not found:
            raise ValueError(f"the README has no place for the table `{name}`")
        text = before + mark + table + rest[rest.index("<!-- end -->") :]
    return text


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def _keys() -> Iterator[tuple[str, ...]]:
    yield "where", "key", "command", "action", "what it does"
    for action in ACTIONS:
        keys = " ".join(f"`{shown_key(key)}`" for key in action.keys)
        command = f"`:{action.command} {action.argument}".rstrip() + "`" if action.command else ""
        yield action.where, keys, command, f"`{action.id}`", action.help


def _codes() -> Iterator[tuple[str, ...]]:
    yield "code", "where", "HTTP", "meaning", "what to do", "tried again"
    for row in CATALOGUE.values():
        yield _name(row), group_of(row.code), str(row.http or ""), row.meaning, row.remedy, _RETRIED[row.retry]


def _states() -> Iterator[tuple[str, ...]]:
    yield "word", "of", "meaning", "what to do"
    for each in everything():
        if each.kind != "code":
            of = "a deployment" if each.kind == "status" else "an instance"
            yield f"`{each.word}`", of, each.meaning, each.remedy


def _name(row: Failure) -> str:
    return f"`{row.code}`" + "".join(f" (`{alias}`)" for alias in row.aliases)


def _commands() -> Iterator[tuple[str, ...]]:
    yield "command", "options", "what it does"
    # With its own settings: click remembers the help option of the first context that a command meets.
    yield from _below(cli, click.Context(cli, info_name="stoker", **cli.context_settings))


def _below(group: click.Group, context: click.Context) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _below(command, inner)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"`{_usage(command, inner)}`", _options(command), command.get_short_help_str(200)


def _usage(command: click.Command, context: click.Context) -> str:
    words = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    return " ".join([context.command_path, *words])


def _options(command: click.Command) -> str:
    return " ".join(f"`{p.opts[-1]}`" for p in command.params if isinstance(p, click.Option))


if __name__ == "__main__":
    README.write_text(replaced(README.read_text("utf-8")), "utf-8")
