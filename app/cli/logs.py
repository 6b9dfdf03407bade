"""`logs`: what an engine wrote, or the server, or the gateway."""

import time
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from app.cli.output import say, stream
from app.cli.params import PAST, NameType
from app.domain.facts import Attempt
from app.domain.failures import StokerError
from app.render.cells import Cell, line
from app.render.findings import finding_line
from app.render.words import moment
from app.settings import Home, find_home
from app.store import read
from app.store.attempts import AttemptLines
from app.store.findings import of_attempt
from app.store.lines import FileLines

_POLL_S = 0.25
_OURS = ("@server", "@gateway")


class SubjectType(NameType):
    """A deployment, or one of our own processes."""

    name = "name|@server|@gateway"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if value in _OURS else super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        ours = [CompletionItem(name) for name in _OURS if name.startswith(incomplete)]
        return super().shell_complete(ctx, param, incomplete) + ours


@click.command()
@click.argument("subject", metavar="NAME|@server|@gateway", type=SubjectType())
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written, into new attempts too.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt instead of the last.")
@click.option("--findings", is_flag=True, help="Only what was recognised: failures, recoveries, milestones.")
@click.option("--since", type=PAST, help="Only what came after: 10m, 2h, or a date and time.")
def logs(subject: str, follow: bool, attempt: int | None, findings: bool, since: int | None) -> None:
    """Show what the engine of a deployment wrote.

    Lines of several instances begin with the instance's name.
    """
    home = find_home()
    source: _Engines | _File | _Findings
    if findings:
        if subject.startswith("@"):
            raise click.UsageError("Findings are of engines; scan this log instead: `stoker scan`.")
        source = _Findings(home, subject, attempt, since)
    elif subject.startswith("@"):
        source = _File(subject, home.server_log if subject == "@server" else home.gateway_log, since)
    else:
        source = _Engines(home, subject, attempt, since)
    source.show()
    while follow:
        time.sleep(_POLL_S)
        source.show()
    source.end()


class _File:
    """The log of one of our own processes."""

    def __init__(self, subject: str, path: Path, since: int | None) -> None:
        if not path.exists():
            raise StokerError("NOT_FOUND", f"{subject} has written nothing yet.", "Start it: `stoker up`.")
        self._lines = FileLines(path, since)

    def show(self) -> None:
        """Print what is new."""
        stream(self._lines.poll())

    def end(self) -> None:
        """Print what is left."""
        stream(self._lines.end())


class _Findings:
    """What was recognised in the logs of a deployment's instances: of the attempt `number` of each, or of the last."""

    def __init__(self, home: Home, name: str, number: int | None, since: int | None) -> None:
        self._home, self._name, self._number, self._since = home, name, number, since or 0
        self._shown: dict[str, int] = {}

    def show(self) -> None:
        """Print what is new, in attempts that began meanwhile too."""
        with read.reading(self._home.store) as connection:
            instances = read.deployment(connection, self._name).instances
            for instance in instances:
                prefix = [Cell(f"{instance.name}  ", "dim")] if len(instances) > 1 else []
                for attempt in _chosen(read.attempts(connection, instance.id), self._number):
                    found = of_attempt(connection, attempt.id)
                    new = found[self._shown.get(attempt.id, 0) :]
                    self._shown[attempt.id] = len(found)
                    lines = (line(moment(f.at), *finding_line(f.finding)) for f in new if f.at >= self._since)
                    say(*((*prefix, *shown) for shown in lines))

    def end(self) -> None:
        """Nothing is left: what was recognised is all in the store."""


class _Engines:
    """The logs of a deployment's instances: of the attempt `number` of each, or of the last, and those that follow."""

    def __init__(self, home: Home, name: str, number: int | None, since: int | None) -> None:
        self._home, self._name, self._number, self._since = home, name, number, since
        self._open: dict[str, tuple[str, AttemptLines]] = {}
        self._seen: set[str] = set()
        self._prefixed = False
        if not self._look():
            what = "has not been started yet" if number is None else f"has no attempt {number}"
            raise StokerError("NOT_FOUND", f"`{name}` {what}.", f"See `stoker events {name}`.")

    def show(self) -> None:
        """Print what is new, in attempts that began meanwhile too."""
        self._look()
        for attempt_id, (name, lines) in list(self._open.items()):
            ended = lines.log.ended
            self._say(name, lines.poll())
            if ended:
                self._finish(attempt_id)

    def end(self) -> None:
        """Print what is left."""
        for attempt_id in list(self._open):
            self._finish(attempt_id)

    def _look(self) -> bool:
        """Open what has appeared; whether there is any such attempt at all."""
        with read.reading(self._home.store) as connection:
            instances = read.deployment(connection, self._name).instances
            found = [(i.name, a) for i in instances for a in _chosen(read.attempts(connection, i.id), self._number)]
        self._prefixed = self._prefixed or len(instances) > 1
        for name, attempt in found:
            directory = self._home.attempts / attempt.id
            if attempt.id in self._seen or (attempt.started_at is None and not directory.is_dir()):
                continue
            lines = AttemptLines(directory, self._since)
            if self._seen and not self._prefixed:
                say(line(Cell(f"{name}, attempt {attempt.number}", "dim")))
            self._seen.add(attempt.id)
            self._open[attempt.id] = name, lines
        return bool(self._seen)

    def _finish(self, attempt_id: str) -> None:
        name, lines = self._open.pop(attempt_id)
        self._say(name, lines.poll())
        self._say(name, lines.end())

    def _say(self, name: str, lines: Iterable[str]) -> None:
        stream(lines, name if self._prefixed else "")


def _chosen(attempts: list[Attempt], number: int | None) -> list[Attempt]:
    """The attempt of this number, or the last one."""
    return attempts[-1:] if number is None else [a for a in attempts if a.number == number]
