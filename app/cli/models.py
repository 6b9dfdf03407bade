"""`models`: what this machine has of the hub's models; fetch, check and remove."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from app.cli.lazy import LazyGroup
from app.cli.output import confirm, emit, interactive, note, redraw, say
from app.cli.params import json_option
from app.cli.server import writing
from app.domain.failures import StokerError
from app.domain.fleet import Fetched
from app.domain.text import safe
from app.domain.variant import ModelRef
from app.launch import cache
from app.launch.options import Options
from app.render.cells import line
from app.render.checks import check_lines
from app.render.models import document, models_table
from app.render.words import fetched, size
from app.settings import Home, find_home, load_presets
from app.store import read

if TYPE_CHECKING:
    from app.store.jobs import JobFacts

_POLL_S = 0.25


class ModelType(click.ParamType[str]):
    """A model of the hub that this machine has, `owner/name` or `owner/name@COMMIT`; completed from the cache."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = {cache.called(one) for one in cache.kept(find_home()) if one.here}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


@click.group(
    cls=LazyGroup,
    table={
        "ls": ("app.cli.models:ls", "List models of the hub, and what needs them."),
        "pull": ("app.cli.models:pull", "Fetch a model of the hub."),
        "verify": ("app.cli.models:verify", "Compare files with their checksums."),
        "rm": ("app.cli.models:rm", "Remove a model from this machine."),
    },
)
def models() -> None:
    """Models of the hub in this machine's cache, which all deployments share, and other programs too."""


@click.command()
@json_option
def ls(as_json: bool) -> None:
    """List models of the hub: what they take here, on which hosts they are, which variants have them."""
    found = cache.kept(find_home())
    if as_json:
        emit([document(one) for one in found])
    elif found:
        say(*models_table(found))
    else:
        say("There is no model of the hub here. Fetch one: stoker models pull OWNER/NAME")


@click.command()
@click.argument("model")
@click.option("--quant", help="Which of several GGUF files: Q4_K_M.")
@click.option("--file", help="Which file, by its name in the repository.")
@click.option("--revision", help="A branch, tag or commit. [main]")
@json_option
def pull(model: str, quant: str | None, file: str | None, revision: str | None, as_json: bool) -> None:
    """Fetch a model of the hub, `owner/name`, into this machine's cache.

    Every file is compared with its checksum. Ctrl-C ends it; what has arrived is kept, and the next time goes on from
    there.
    """
    from app.launch.hub import of_shell
    from app.launch.models import resolve
    from app.launch.pinned import pin_model

    home = find_home()
    options = of_shell(Options(model=model, quant=quant, file=file, revision=revision), home)
    wanted, checks = pin_model(resolve(model, home), options, home, load_presets(home))
    if wanted.source != "hub":
        raise StokerError("MODEL_NOT_FOUND", f"`{safe(model, 100)}` is no model of the hub.", "Give `owner/name`.")
    if (trouble := next((check for check in checks if check.result == "fail"), None)) is not None:
        raise trouble.error()
    note(*check_lines([check for check in checks if check.result == "warn"]))
    _bring(home, wanted, options)
    if as_json:
        emit({"name": wanted.name, "revision": wanted.revision, "path": wanted.path, "size": wanted.size})
    else:
        say(f"{wanted.name} is here, at {(wanted.revision or '')[:12]}. Launch it: stoker launch {wanted.name}")


@click.command()
@click.argument("names", metavar="[NAME]…", nargs=-1, type=ModelType())
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Compare the files of models with their checksums, all of them if none is named; exit 1 if one is wrong."""
    home = find_home()
    found = [one for name in names for one in cache.find(home, name)] if names else cache.kept(home)
    results = []
    for one in (one for one in found if one.here and one.revision):
        wrong = cache.wrong(home, one, _show)
        results.append({"name": one.repo, "revision": one.revision, "wrong": wrong})
        if not as_json:
            _show("")
            say(f"{cache.called(one)}: " + ("wrong" if wrong else "as the hub has it"))
            say(*(f"  {safe(file, 150)}: {how}" for file, how in wrong.items()))
    ok = not any(result["wrong"] for result in results)
    if as_json:
        emit({"ok": ok, "models": results})
    elif not ok:
        note("Fetch them again: stoker fix NAME for a deployment that fails, else stoker models rm and pull.")
    return 0 if ok else 1


@click.command()
@click.argument("name", type=ModelType())
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(name: str, yes: bool, as_json: bool) -> None:
    """Remove a model of the hub from this machine. What a deployment needs is not removed."""
    home = find_home()
    found = cache.find(home, name)
    if not yes and interactive() and not confirm(_question(found), default=False):
        return
    for one in found:
        cache.remove(home, one)
    freed = sum(one.size + one.begun for one in found)
    if as_json:
        emit({"removed": [cache.called(one) for one in found], "freed": freed})
    else:
        say(f"Removed {', '.join(map(cache.called, found))}: {size(freed)} are free.")


def _question(found: Sequence[cache.Kept]) -> str:
    earlier = [name for one in found for name in one.variants]
    which = f", which {', '.join(earlier)} would need again" if earlier else ""
    return f"Remove {', '.join(map(cache.called, found))} ({size(sum(one.size for one in found))}){which}?"


def _bring(home: Home, model: ModelRef, options: Options) -> None:
    """Have the server fetch `model`, and show how far it is until it is here."""
    from app.launch.environment import keep_values
    from app.store import jobs

    env_file = keep_values(home, options.env) if options.env else None
    payload: dict[str, Any] = {"model": asdict(model), "env_file": env_file}
    with writing(home) as session:
        job_id = jobs.submit(session, "fetch", payload, jobs.FETCH_DEADLINE_US)
    try:
        job = _follow(home, job_id, model.name)
    except KeyboardInterrupt:
        with writing(home) as session:
            jobs.cancel(session, job_id)
        note("", f"Given up. What has arrived is kept: stoker models pull {model.name} goes on from there.")
        raise
    if job.error is not None:
        raise StokerError(job.error["code"], job.error["message"], job.error["remedy"])
    if job.state == "cancelled":
        raise StokerError("NOT_FOUND", f"The fetch of {model.name} was given up.", "Ask for it again.")


def _follow(home: Home, job_id: str, name: str) -> "JobFacts":
    from app.store import jobs

    try:
        while True:
            with read.reading(home.store) as connection:
                job = jobs.get(connection, job_id)
            if job.progress.get("total"):
                _show(f"{name}  {fetched(Fetched(**job.progress))}")
            if job.state not in ("queued", "running"):
                return job
            time.sleep(_POLL_S)
    finally:
        _show("")


def _show(text: str) -> None:
    """Put a text into the last line of a terminal."""
    if sys.stderr.isatty():
        redraw(line(text))
