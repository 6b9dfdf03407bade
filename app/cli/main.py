"""The `stoker` command: its table of verbs, and what becomes of an error."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Sequence

import click

from app.cli.lazy import LazyGroup
from app.cli.output import note
from app.domain.failures import StokerError
from app.domain.text import safe
from app.version import __version__

_VERBS = {
    "up": ("app.cli.daemon:up", "Start the server and the gateway."),
    "down": ("app.cli.daemon:down", "Stop the server; with --all everything."),
    "status": ("app.cli.daemon:status", "Say whether server and gateway run."),
    "serve": ("app.cli.daemon:serve", "Run the server in the foreground."),
    "launch": ("app.cli.launch:launch", "Launch a model."),
    "ps": ("app.cli.listing:ps", "List deployments."),
    "show": ("app.cli.listing:show", "Show one deployment."),
    "events": ("app.cli.listing:events", "Show what happened to a deployment."),
    "logs": ("app.cli.logs:logs", "Show what an engine, the server or the gateway wrote."),
    "scan": ("app.cli.scan:scan", "Say what any log proves."),
    "stop": ("app.cli.verbs:stop", "Stop a deployment."),
    "start": ("app.cli.verbs:start", "Start a stopped or failed deployment."),
    "restart": ("app.cli.verbs:restart", "Start every instance anew."),
    "rm": ("app.cli.verbs:rm", "Remove a deployment."),
    "change": ("app.cli.launch:change", "Run a deployment with other options."),
    "variants": ("app.cli.listing:variants", "List a deployment's variants."),
    "rollback": ("app.cli.verbs:rollback", "Go back to an earlier variant."),
    "fix": ("app.cli.fix:fix", "List what would mend a failure, or do it."),
    "ask": ("app.cli.ask:ask", "Ask a deployment something."),
    "keys": ("app.cli.keys:keys", "Make, list, revoke and rotate API keys."),
    "request": ("app.cli.request:request", "Explain one request."),
    "topup": ("app.cli.money:topup", "Put money into the account."),
    "balance": ("app.cli.money:balance", "Show what is left, and for how long."),
    "ledger": ("app.cli.money:ledger", "Show where the money went; check it; export it."),
    "estimate": ("app.cli.estimate:estimate", "Estimate the memory that a model takes."),
    "models": ("app.cli.models:models", "Show, fetch, check and remove models of the hub."),
    "explain": ("app.cli.explain:explain", "Say what a code, status or phase means."),
    "bundle": ("app.cli.bundle:bundle", "Make one redacted archive of what went wrong."),
    "gpus": ("app.cli.gpus:gpus", "Show GPUs, here and elsewhere, and who holds them."),
    "offers": ("app.cli.offers:offers", "List where something could run, and what it costs."),
    "hosts": ("app.cli.hosts:hosts", "Add, list, test and remove hosts."),
    "doctor": ("app.cli.doctor:doctor", "Check this installation."),
    "completion": ("app.cli.completion:completion", "Print the completion script of a shell."),
}


@click.group(
    cls=LazyGroup,
    table=_VERBS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="stoker", message="%(prog)s %(version)s")
@click.option("--ascii", "ascii_only", is_flag=True, help="Console: only ASCII signs.")
@click.option("--slow", is_flag=True, help="Console: for a slow link, look and draw once a second.")
@click.option("--no-mouse", is_flag=True, help="Console: leave the mouse to the terminal.")
@click.option("--read-only", is_flag=True, help="Console: change nothing.")
@click.pass_context
def cli(context: click.Context, ascii_only: bool, slow: bool, no_mouse: bool, read_only: bool) -> None:
    """Launch language models, watch them, and talk to them.

    Without a command: the console, or on no terminal a list of what there is.
    """
    if context.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        from app.console import run

        run(ascii_only=ascii_only, slow=slow, mouse=not no_mouse, read_only=read_only)
    else:
        from app.cli.overview import overview

        overview()


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Errors are told on stderr, as JSON if the command was given --json."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        status = cli.main(args, prog_name="stoker", standalone_mode=False)
        sys.stdout.flush()
    except StokerError as error:
        return _tell(args, error.code, error.message, error.remedy, 1)
    except click.exceptions.NoArgsIsHelpError as error:
        note(*error.format_message().splitlines())
        return 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "stoker"
        return _tell(args, "USAGE", error.format_message(), f"See `{path} --help`.", 2)
    except (KeyboardInterrupt, click.Abort):
        note("")
        return 130
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except OSError as error:
        return _os_error(args, error)
    return status if isinstance(status, int) else 0


def _os_error(args: list[str], error: OSError) -> int:
    """The machine refused something: a full disk, a home that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = StokerError("DISK_FULL")
        return _tell(args, full.code, full.message, full.remedy, 1)
    where = f"{error.filename}: " if error.filename else ""
    text = f"{where}{error.strerror or error}."
    return _tell(args, "CONFIG_INVALID", text, "Check STOKER_HOME and its rights: `stoker doctor`.", 1)


def _tell(args: list[str], code: str, message: str, remedy: str, status: int) -> int:
    words = args[: args.index("--")] if "--" in args else args
    with contextlib.suppress(BrokenPipeError):
        if "--json" in words:
            sys.stderr.write(json.dumps({"error": {"code": code, "message": message, "remedy": remedy}}) + "\n")
        else:
            note(f"stoker: {code}: {safe(message)} {safe(remedy)}")
    return status


def _forget_stdout() -> None:
    """Whoever read our output has left: let the interpreter's last flush go nowhere instead of failing."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
