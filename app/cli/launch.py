"""`launch` and `change`: from options to a wish, after the checks."""

import shlex
from typing import Any

import click

from app.cli.output import emit, note, say
from app.cli.params import (
    PRICE,
    SIZE,
    TOKENS,
    Command,
    SettingType,
    VariableType,
    json_option,
    name_argument,
    wait_option,
)
from app.cli.server import writing
from app.domain.sizes import NAMES
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import plan_change, plan_launch
from app.reach import actor, require_gateway
from app.render.checks import check_lines, choice_lines
from app.render.keys import shown_once
from app.render.sizes import size_lines
from app.settings import Home, find_home, load_presets
from app.store import read

_OPTIONS = (
    click.option("--engine", help="What serves it. [by model and machine]"),
    click.option(
        "--backend", help="How it runs: process, docker. [the engine's; docker with --host, --image or --gpus]"
    ),
    click.option("--host", help="Where it runs: a host of `stoker hosts ls`. [this machine]"),
    click.option("--image", help="The image to run, by tag or digest. [the engine's]"),
    click.option("--gpus", help="GPUs for the container: all, count=2, indexes (0,1) or UUIDs, of slices too. [none]"),
    click.option("--smart", is_flag=True, help="Wherever it is cheapest, and on the next offer if one fails."),
    click.option("--gpu", help="Smart: on this GPU, by its name or a part of it. Then --gpus is how many."),
    click.option("--region", help="Smart: in this region."),
    click.option("--tier", help="Smart: on this kind of capacity."),
    click.option("--max-price", type=PRICE, help="Smart: for at most this an hour."),
    click.option("--ctx", "context", type=TOKENS, help="Context of one request in tokens: 4096, 32k."),
    click.option("--seqs", type=click.IntRange(1, 1024), help="Requests served at once by one replica."),
    click.option("--kv-type", help="Type of the KV cache: T, or K/V."),
    click.option("--replicas", type=click.IntRange(1, 1000), help="How many instances."),
    click.option(
        "--mode", type=click.Choice(("flex", "active")), help="How it is billed: for its use, or always. [active]"
    ),
    click.option("--memory", type=SIZE, help="Host memory that one instance may use: 400M, 2G."),
    click.option(
        "--env",
        type=VariableType(),
        multiple=True,
        help="A variable for the engine, kept apart; NAME alone takes it from here.",
    ),
    click.option("--set", "flags", type=SettingType(), multiple=True, help="A flag of the engine itself."),
    click.option("--force", is_flag=True, help="Go past checks that fail by an estimate, as by too little memory."),
)


_HUB_OPTIONS = (
    click.option("--quant", help="Which of several GGUF files of a model of the hub: Q4_K_M."),
    click.option("--file", help="Which file of it, by its name in the repository."),
    click.option("--revision", help="A branch, tag or commit of it. [main]"),
)


def _launch_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _hub_options(command: Command) -> Command:
    for option in reversed(_HUB_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("model")
@_hub_options
@click.option("--name", help="The deployment's name, which clients give as model. [from the model]")
@_launch_options
@click.option("--size", type=click.Choice(NAMES), help="How large, in a word; other options go before it. [medium]")
@click.option("--key", "with_key", is_flag=True, help="Make a key for it, shown once with how to use it.")
@click.option("--dry-run", is_flag=True, help="Only check, and show what would be started.")
@wait_option("it answers")
@json_option
def launch(model: str, name: str | None, with_key: bool, dry_run: bool, wait: bool, as_json: bool, **given: Any) -> int:
    """Launch a model: `smollm2`, which comes with stoker, the path of a file or folder, or a name on the hub.

    One of the hub is `owner/name`, or `owner/name:Q4_K_M`; it is fetched once, and its commit is kept.

    Ctrl-C while waiting stops waiting, not the launch.
    """
    home, options = find_home(), _read_options(given, model=model, name=name)
    plan = plan_launch(options, home, load_presets(home), _taken(home))
    if dry_run:
        return _show_plan(plan, as_json)
    plan.require()
    _warn(plan)
    from app.launch.record import record_launch
    from app.store import keys

    with writing(home) as session:
        launched = record_launch(session, home, plan, options, actor())
    document = _row(home, launched.name, launched.id, wait)
    made = None
    if with_key:
        with writing(home) as session:
            made = keys.create(session, launched.name, (launched.name,), None)
        document["key"] = made.to_json()
    if as_json:
        emit(document)
        return 0
    if not wait:
        say(f"{launched.name}: launching. Follow it: stoker events {launched.name} -f")
    if made is not None:
        say(*shown_once(made.key.text, f"{require_gateway(home)}/v1", launched.name))
    elif wait:
        say(f'It answers at {document["url"]}. Try it: stoker ask {launched.name} "Hello"')
    return 0


@click.command()
@name_argument
@click.option("--model", help="Another model.")
@_hub_options
@_launch_options
@click.option("--dry-run", is_flag=True, help="Only check, and show what would be started.")
@wait_option("the new variant serves alone")
@json_option
def change(name: str, model: str | None, dry_run: bool, wait: bool, as_json: bool, **given: Any) -> int:
    """Run a deployment with other options; what is not given stays.

    Makes a new variant, which takes over without a failed request where memory allows two at once. `--set key=` takes
    a flag away.
    """
    home, options = find_home(), _read_options(given, model=model)
    with read.reading(home.store) as connection:
        deployment = read.deployment(connection, name)
        spec = read.specs(connection, [deployment.variant_id])[deployment.variant_id]
    plan = plan_change(options, home, load_presets(home), name, spec, deployment.replicas)
    if dry_run:
        return _show_plan(plan, as_json)
    plan.require()
    _warn(plan)
    from app.launch.record import record_change

    with writing(home) as session:
        number = record_change(session, home, plan, options, actor())
    document = _row(home, name, deployment.id, wait)
    if as_json:
        emit({**document, "variant": number})
    else:
        say(f"{name}: variant {number}" + ("." if wait else f" asked for. Follow it: stoker events {name} -f"))
    return 0


def _read_options(given: dict[str, Any], *, model: str | None, name: str | None = None) -> Options:
    env, flags = dict(given.pop("env")), dict(given.pop("flags"))
    only_smart = [name for name in ("gpu", "region", "tier", "max_price") if given[name] is not None]
    if only_smart and not given["smart"]:
        raise click.UsageError(f"`--{only_smart[0].replace('_', '-')}` is for `--smart`.")
    return Options(model=model, name=name, env=env, flags=flags, **given)


def _taken(home: Home) -> list[str]:
    # Without a store of our schema none is known; the wish itself refuses a name that is taken.
    return read.read_or(home.store, lambda connection: [d.name for d in read.deployments(connection)], [])


def _show_plan(plan: Plan, as_json: bool) -> int:
    if as_json:
        emit(plan.to_json())
    else:
        say(*check_lines(plan.checks))
        if plan.sizes:
            say("", *size_lines(plan.sizes))
        if plan.choice is not None and plan.choice.others:
            say("", *choice_lines(plan.choice.others))
        if plan.command:
            say("", f"command  {shlex.join(plan.command)}")
    return 0 if plan.failure is None else 1


def _warn(plan: Plan) -> None:
    note(*check_lines([check for check in plan.checks if check.result == "warn"]))


def _row(home: Home, name: str, deployment_id: str, wait: bool) -> dict[str, Any]:
    """The document to print: the row once it has settled, only the name if nobody waits."""
    if not wait:
        return {"name": name}
    from app.cli.waiting import wait as wait_for

    return wait_for(home, name, deployment_id) or {"name": name}
