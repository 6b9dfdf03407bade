"""`ask`: a question to a deployment, answered as it is generated."""

import sys

import click

from app.cli.output import emit, note, say, say_part
from app.cli.params import json_option, name_argument
from app.domain.text import safe_block
from app.render.answers import document, figures
from app.settings import find_home
from app.store import read


@click.command()
@name_argument
@click.argument("prompt")
@json_option
def ask(name: str, prompt: str, as_json: bool) -> None:
    """Ask a deployment something, through the gateway as any client would. PROMPT - reads standard input."""
    home = find_home()
    with read.reading(home.store) as connection:
        read.deployment(connection, name)
    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise click.UsageError("There is nothing to ask.")
    from app.talk import ask as send

    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    messages = [{"role": "user", "content": clean}]
    if as_json:
        emit(document(send(home, name, messages, lambda part: None)))
        return
    try:
        answer = send(home, name, messages, lambda part: say_part(safe_block(part)))
    finally:
        say("")  # an answer that breaks off leaves its line unfinished too
    note(figures(answer))
