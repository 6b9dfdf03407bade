"""`keys`: make, list, revoke and rotate API keys."""

import re
import time
from typing import TYPE_CHECKING

import click

from app.cli.lazy import LazyGroup
from app.cli.output import emit, note, say
from app.cli.params import DURATION, FUTURE, NameType, json_option
from app.cli.server import writing
from app.domain.failures import StokerError
from app.domain.keys import parse_key
from app.domain.text import safe
from app.render.keys import document, keys_table, shown_once
from app.settings import find_home
from app.store import read
from app.store.fleet import endpoint

if TYPE_CHECKING:
    from app.store.keys import Made

_ID = re.compile(r"[0-9A-Za-z]{8}")
_DAY_US = 86_400_000_000


class KeyIdType(click.ParamType[str]):
    """A key by its id, by its prefix `stk_ID`, or whole."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        key_id = parse_key(value) or value.removeprefix("stk_")
        if not _ID.fullmatch(key_id):
            raise StokerError("NOT_FOUND", f"There is no key `{safe(value, 20)}`.", "List them: `stoker keys ls`.")
        return key_id


@click.group(
    cls=LazyGroup,
    table={
        "create": ("app.cli.keys:create", "Make a key; it is shown only then."),
        "ls": ("app.cli.keys:ls", "List keys."),
        "revoke": ("app.cli.keys:revoke", "End a key now."),
        "rotate": ("app.cli.keys:rotate", "Replace a key by a new one."),
    },
)
def keys() -> None:
    """Make, list, revoke and rotate the keys that clients of the endpoint send."""


@click.command()
@click.option("--name", default="", help="What or whom it is for.")
@click.option("--deployment", "deployments", type=NameType(), multiple=True, help="Only for this one; repeat for more.")
@click.option("--expires", type=FUTURE, help="When it ends: 30d, or a date and time.")
@json_option
def create(name: str, deployments: tuple[str, ...], expires: int | None, as_json: bool) -> None:
    """Make a key. It is shown only now; what is kept is its checksum."""
    from app.store import keys as store

    with writing(find_home()) as session:
        made = store.create(session, name, deployments, expires)
    _show(made, as_json)


@click.command()
@json_option
def ls(as_json: bool) -> None:
    """List keys: never the key itself, only its id."""
    now = time.time_ns() // 1_000
    try:
        with read.reading(find_home().store) as connection:
            names = {d.id: d.name for d in read.deployments(connection)}
            documents = [document(dict(row), names, now) for row in read.keys(connection)]
    except StokerError as error:
        if error.code != "NOT_FOUND":
            raise
        documents = []
    if as_json:
        emit(documents)
    elif documents:
        say(*keys_table(documents, now))
    else:
        say("There is no key yet. Make one: stoker keys create")


@click.command()
@click.argument("key_id", metavar="ID", type=KeyIdType())
@json_option
def revoke(key_id: str, as_json: bool) -> None:
    """End a key now. Requests in flight finish."""
    from app.store import keys as store

    with writing(find_home()) as session:
        store.revoke(session, key_id)
    if as_json:
        emit({"id": key_id, "state": "revoked"})
    else:
        say(f"{key_id} is revoked.")


@click.command()
@click.argument("key_id", metavar="ID", type=KeyIdType())
@click.option("--grace", type=DURATION, default="24h", show_default=True, help="How long the old one still works.")
@json_option
def rotate(key_id: str, grace: int, as_json: bool) -> None:
    """Make a new key of the same scope; the old one ends after the grace."""
    from app.store import keys as store

    with writing(find_home()) as session:
        made = store.rotate(session, key_id, grace)
    _show(made, as_json)


def _show(made: "Made", as_json: bool) -> None:
    if as_json:
        emit(made.to_json())
        return
    model = made.scope[0] if made.scope else "NAME"
    say(*shown_once(made.key.text, endpoint(find_home()), model))
    note(f"id {made.key.id}, for {', '.join(made.scope) if made.scope else 'every deployment'}")
