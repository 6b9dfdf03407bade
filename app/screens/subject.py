"""Which log is to be shown: that of an attempt of an instance of a deployment, or of one of our own processes."""

from dataclasses import dataclass
from pathlib import Path

from app.domain.facts import Attempt, Deployment
from app.domain.findings import Finding
from app.domain.fleet import Fleet
from app.render.deployment import row
from app.render.detail import picked
from app.settings import Home
from app.store import read
from app.store.findings import of_attempt

OWN = ("@server", "@gateway")
"""Our own processes that keep a log, by the names that commands use too."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for.

    `own` is one of OWN, else None. `instances` are names of instances, the best first. `attempt` is an instance's name
    with the number of an attempt of it; of every other instance it is the newest.
    """

    own: str | None
    deployment: str | None
    instances: tuple[str | None, ...]
    attempt: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Subject:
    """A log that is there. `attempt` is None for one of our own; `newest` is the number of the last attempt.

    `key` tells it from every other log. `findings` are what was recognised in it, in its order.
    """

    key: str
    name: str
    path: Path
    attempt: Attempt | None = None
    newest: int = 0
    engine: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A log, or in `waiting` why there is none; the instance that was picked, and what else could be: names, numbers
    of attempts."""

    subject: Subject | None = None
    waiting: str = ""
    instance: str | None = None
    instances: tuple[str, ...] = ()
    attempts: tuple[int, ...] = ()


def find_log(home: Home, fleet: Fleet | None, wanted: Wanted) -> Found:
    """The log that is wanted. Reads the store; raises what `read.reading` raises."""
    if wanted.own is not None:
        return _own(home, wanted.own)
    deployments = () if fleet is None else fleet.deployments
    deployment = next((d for d in deployments if d.name == wanted.deployment), None)
    if fleet is None or deployment is None:
        text = f"There is no deployment {wanted.deployment}." if wanted.deployment else "Nothing is launched yet."
        return Found(waiting=f"{text} :logs @server shows what the server writes.")
    return _of_deployment(home, fleet, deployment, wanted)


def _own(home: Home, name: str) -> Found:
    if name not in OWN:
        return Found(waiting=f"There is no log of {name}; there are those of {' and '.join(OWN)}.")
    path = home.server_log if name == "@server" else home.gateway_log
    if not path.exists():
        return Found(waiting=f"{name} has written nothing yet.", instance=name)
    return Found(Subject(name, name, path), instance=name)


def _of_deployment(home: Home, fleet: Fleet, deployment: Deployment, wanted: Wanted) -> Found:
    names = tuple(i.name for i in deployment.instances)
    instance = picked(deployment.instances, next((n for n in wanted.instances if n in names), None))
    if instance is None:
        return Found(waiting=f"{deployment.name} has no instance yet: it is {row(fleet, deployment)['status']}.")
    with read.reading(home.store) as connection:
        attempts = read.attempts(connection, instance.id)
        numbers = tuple(a.number for a in attempts)
        if not attempts:
            return Found(None, f"{instance.name} has not been started yet.", instance.name, names)
        attempt = next((a for a in attempts if (instance.name, a.number) == wanted.attempt), attempts[-1])
        recognised = tuple(found.finding for found in of_attempt(connection, attempt.id))
    path = home.attempts / attempt.id
    if path.is_dir():
        engine = fleet.specs[instance.variant_id].engine
        subject = Subject(attempt.id, instance.name, path, attempt, numbers[-1], engine, recognised)
        return Found(subject, "", instance.name, names, numbers)
    told = f"attempt {attempt.number} of {instance.name}"
    if attempt.ended_at is None:
        text = f"Waiting for {told}: its engine has not been started yet."
    else:
        text = f"The log of {told} is not kept any more: newer ones took its room, or nothing was ever written."
    return Found(None, text, instance.name, names, numbers)
