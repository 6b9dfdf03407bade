"""The checks of a plan: at once what this machine knows, side by side what may take a while."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.domain.choice import asked
from app.domain.containers import docker_run
from app.domain.engines import CONTAINERS, Preset, compute_threads, render_command
from app.domain.failures import StokerError
from app.domain.money import FREE
from app.domain.offers import next_larger
from app.domain.sizes import Size
from app.domain.variant import VariantSpec
from app.launch.asking import Question, ask_all
from app.launch.checks import Check, check_fit, check_image, check_spec, forced
from app.launch.claims import Claim, claim
from app.launch.fit import Fit, fit
from app.launch.machine import machine_of
from app.launch.money import check_balance, check_plan
from app.launch.offers import known_offers
from app.launch.options import Options
from app.launch.pinned import carried
from app.launch.pinning import pin
from app.launch.plan import Plan, Watch
from app.launch.resolving import solved
from app.launch.sizing import size_up
from app.settings import Home, load_settings


@dataclass(frozen=True, slots=True)
class Manner:
    """How a plan is checked: how many replicas are to be paid for beyond those that run, what was asked for (None:
    nothing new), who watches, what it would be without a size, if its sizes are wanted, and whether it would run on
    other GPUs than it does."""

    added: int
    options: Options | None = None
    watch: Watch | None = None
    usual: VariantSpec | None = None
    moved: bool = False


@dataclass(slots=True)
class _Found:
    """What the questions find out beside their checks: the image's digest, how it fits, what sizes there are."""

    digest: str | None
    pinned: str | None
    fit: Fit | None = None
    sizes: tuple[Size, ...] = ()
    claim: Claim | None = None


def check(draft: Plan, spec: VariantSpec, presets: Mapping[str, Preset], home: Home, manner: Manner) -> Plan:
    """`draft` with all its checks: at once those that this machine knows, side by side those that may take a while."""
    spec = numbered(carried(spec, presets), presets, home)
    found = _Found(spec.digest, spec.pinned)
    local = tuple(check_spec(spec, presets, home, draft.choice))
    questions = _questions(draft, spec, found, presets, home, manner, all(check.result != "fail" for check in local))

    def so_far(checks: tuple[Check, ...], waiting: tuple[str, ...]) -> Plan:
        every = (*draft.checks, *local, *checks)
        if manner.options is not None and manner.options.force:
            every = tuple(map(forced, every))
        share = spec.share if found.fit is None else found.fit.share
        known = replace(spec, digest=found.digest, pinned=found.pinned, share=share)
        plan = replace(draft, checks=every, spec=known, fit=found.fit, sizes=found.sizes, claim=found.claim)
        plan = replace(plan, waiting=waiting)
        return plan if plan.failure else replace(plan, command=_command(known, presets, draft.name))

    def told(checks: tuple[Check, ...], waiting: tuple[str, ...]) -> None:
        if manner.watch is not None:
            manner.watch(so_far(checks, waiting))

    told((), tuple(question.name for question in questions))
    return so_far(ask_all(questions, told), ())


def _questions(
    draft: Plan,
    spec: VariantSpec,
    found: _Found,
    presets: Mapping[str, Preset],
    home: Home,
    manner: Manner,
    sound: bool,
) -> list[Question]:
    """What has to be asked elsewhere or reckoned out; of the configuration only if it is `sound` as far as it shows."""
    settings, options = load_settings(home), manner.options
    price = FREE if manner.added == 0 else spec.price

    def image() -> Iterator[Check]:
        pinned = spec
        if options is not None:
            box = presets[spec.engine].container
            pinned, checks = pin(spec, options.image, () if box is None else box.images_for(spec))
            found.digest, found.pinned = pinned.digest, pinned.pinned
            yield from checks
        yield check_image(pinned, presets[spec.engine], home)

    def fits() -> Iterable[Check]:
        found.fit, checks = _fit(spec, home)
        if manner.usual is not None and found.fit is not None:
            found.sizes = size_up(manner.usual, presets[spec.engine], home)
        if manner.moved and found.fit is not None:
            checks += solved(found.fit, spec, presets, home)
        return checks

    def reserved() -> list[Check]:
        force = options is not None and options.force
        found.claim, checks = claim(draft.name, spec, draft.replicas, home, force=force)
        return checks

    return [
        *([Question("image", image)] if sound and spec.backend == CONTAINERS else []),
        Question("balance", lambda: [check_balance(home, settings, price, manner.added)]),
        Question("plan", lambda: [check_plan(home, settings, draft.name, draft.replicas, spec.mode)]),
        *([Question("reserved", reserved)] if sound and spec.gpus and spec.smart is None else []),
        *([Question("fit", fits)] if sound else []),
    ]


def _command(spec: VariantSpec, presets: Mapping[str, Preset], name: str) -> tuple[str, ...]:
    preset = presets[spec.engine]
    return docker_run(preset, spec, render_command(preset, spec, name, sys.executable, compute_threads(os.cpu_count())))


def _fit(spec: VariantSpec, home: Home) -> tuple[Fit | None, list[Check]]:
    """How `spec` fits, and the check that says so; what cannot be estimated is only a warning."""
    try:
        found = fit(spec, home)
    except StokerError as error:
        return None, [Check("fit", "warn", f"not known: {error.message}", error.code, error.remedy)]
    return found, [] if found is None else [_with_larger(check_fit(found), found, home)]


def _with_larger(check: Check, found: Fit, home: Home) -> Check:
    """The check with the next larger GPU that could be had instead, where it is close or does not fit."""
    if check.result == "pass" or not found.on_gpu:
        return check
    gpus = found.setup.gpus
    larger = next_larger(known_offers(home, load_settings(home)), found.most, max(g.total for g in gpus), len(gpus))
    return replace(check, remedy=f"{check.remedy} On offer: {larger}.") if larger else check


def numbered(spec: VariantSpec, presets: Mapping[str, Preset], home: Home) -> VariantSpec:
    """`spec` with the GPUs that `all` are now, for an engine that has to be told how many they are."""
    preset = presets.get(spec.engine)
    if spec.gpus != "all" or preset is None or not preset.split:
        return spec
    known = [str(gpu.index) for gpu in asked("all", machine_of(spec.host, home, presets))]
    return replace(spec, gpus=",".join(known)) if known else spec
