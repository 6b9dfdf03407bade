"""`completion`: the script that makes a shell complete our commands."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For example, in ~/.bashrc: eval "$(stoker completion bash)"
    """
    from app.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"`{shell}` is not known.")
    click.echo(kind(cli, {}, "stoker", "_STOKER_COMPLETE").source())
