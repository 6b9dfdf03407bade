"""`explain`: what a code, a status or a phase means and what to do about it."""

import click
from click.shell_completion import CompletionItem

from app.cli.output import emit, say
from app.cli.params import json_option
from app.domain.explain import everything
from app.domain.explain import explain as look_up
from app.domain.failures import StokerError
from app.render.explain import explanation_document, explanation_lines, overview_lines
from app.settings import find_home
from app.store import read
from app.store.durations import usual


class WordType(click.ParamType[str]):
    """A code, a status or a phase."""

    name = "code|status|phase"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = (each.word for each in everything())
        return [CompletionItem(word) for word in words if word.lower().startswith(incomplete.lower())]


@click.command()
@click.argument("word", metavar="[CODE|STATUS|PHASE]", type=WordType(), required=False)
@json_option
def explain(word: str | None, as_json: bool) -> None:
    """Say what a code, status or phase means, what to do, whether it is tried again, and how long it usually takes."""
    found = everything() if word is None else look_up(word)
    takes = _usual()
    if as_json:
        documents = [explanation_document(each, takes) for each in found]
        emit(documents if word is None or len(documents) > 1 else documents[0])
    elif word is None:
        say(*overview_lines(found))
    else:
        say(*(shown for each in found for shown in explanation_lines(each, takes)))


def _usual() -> dict[str, int]:
    """What phases usually take here; nothing where nothing was ever started."""
    try:
        with read.reading(find_home().store) as connection:
            return dict(usual(connection))
    except StokerError:
        return {}
