"""From options to a configuration, the command it becomes, and the checks it must pass."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain.choice import Choice, Traits, asked, choose, ways_of
from app.domain.containers import docker_run
from app.domain.engines import CONTAINERS, PROCESS, Preset, compute_threads, render_command
from app.domain.failures import StokerError
from app.domain.hosts import SIMULATED
from app.domain.money import FREE, Price
from app.domain.offers import next_larger
from app.domain.sizes import Size
from app.domain.variant import FlagValue, ModelRef, VariantSpec
from app.launch.asking import Question, ask_all
from app.launch.checks import Check, check_fit, check_image, check_length, check_name, check_spec, forced, from_error
from app.launch.claims import Claim, claim
from app.launch.fit import Fit, fit
from app.launch.hub import of_shell
from app.launch.machine import ANYWHERE, machine_of
from app.launch.models import resolve, slug
from app.launch.money import check_balance, check_plan
from app.launch.offers import known_offers
from app.launch.options import Options
from app.launch.pinned import carried, pin_model
from app.launch.pinning import pin
from app.launch.pricing import price_now, price_of_change
from app.launch.resolving import solved
from app.launch.sizing import size_up, sized
from app.launch.smart import place
from app.launch.traits import traits_of
from app.settings import Home, load_settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched. `spec` is None when the model could not be found; `command` is what would be started.

    `base` is what a name is made from where none was given, `fit` how one replica fits this machine if that is known.
    `sizes` are those that it may have there, `claim` what it sets aside of GPUs. `choice` is why that engine, and why
    not the others. `waiting` are the checks that have not ended yet, by name: none in a plan that is whole.
    """

    name: str
    replicas: int
    checks: tuple[Check, ...]
    spec: VariantSpec | None = None
    command: tuple[str, ...] = ()
    base: str = ""
    fit: Fit | None = None
    sizes: tuple[Size, ...] = ()
    choice: Choice | None = None
    claim: Claim | None = None
    waiting: tuple[str, ...] = ()

    @property
    def failure(self) -> Check | None:
        """The first check that failed."""
        return next((check for check in self.checks if check.result == "fail"), None)

    def require(self) -> VariantSpec:
        """The configuration, if everything passed; else raises what the first failed check says."""
        fail = self.failure
        if fail is not None:
            raise fail.error()
        if self.spec is None:
            raise RuntimeError("a plan without a configuration has a failed check")
        return self.spec

    def to_json(self) -> dict[str, Any]:
        """The document of `launch --dry-run --json`."""
        return {
            "ok": self.failure is None,
            "checks": [
                {"name": c.name, "result": c.result, "code": c.code, "detail": self._told(c), "remedy": c.remedy}
                for c in self.checks
            ],
            "estimate": None if self.fit is None else self.fit.estimate.to_json(self.fit.context),
            "command": list(self.command),
            "price_per_hour_micro": 0 if self.spec is None else self.spec.price.by_hour * self.replicas,
        }

    def _told(self, check: Check) -> str:
        """All that there is to say of a check, where nothing stands beside it."""
        others = self.choice.others if check.name == "engine" and self.choice is not None else ()
        return "; ".join((check.detail, *others))


Watch = Callable[[Plan], None]


def plan_launch(
    options: Options, home: Home, presets: Mapping[str, Preset], taken: Collection[str], watch: Watch | None = None
) -> Plan:
    """The plan of a new deployment. `taken` are the names in use; without a name one is made from the model's.

    `watch` is told the plan as far as it is known, again and again while its checks end.
    """
    options = of_shell(options, home)
    try:
        model = resolve(options.model or "", home)
    except StokerError as error:
        checks = [] if options.name is None else [check_name(options.name, taken)]
        return Plan(options.name or "", options.replicas or 1, (*checks, from_error("model", error)))
    if watch is not None and model.source == "hub":
        watch(_before_the_hub(model, options, home, taken))
    model, hub = pin_model(model, options, home, presets)
    traits = traits_of(model, home)
    choice = _choose(options, traits, home, presets)
    preset = presets.get(options.engine or choice.engine)
    spec = VariantSpec(
        model=model,
        engine=options.engine or choice.engine,
        backend=choice.backend,
        context=min(preset.context, traits.context or preset.context) if preset else 0,
        seqs=preset.seqs if preset else 0,
        kv_type=preset.kv_types[0] if preset else "",
        gpus=choice.gpus if choice.backend == CONTAINERS else None,
    )
    base = slug(model)
    name = options.name if options.name is not None else free_name(base, taken)
    replicas = options.replicas or 1
    checks = [check_name(name, taken), *hub]
    usual = wanted = _merge(spec, options, home)
    if options.size is not None and preset is not None:
        try:
            wanted = _merge(sized(usual, options.size, preset, home), options, home)
        except StokerError as error:
            checks.append(from_error("size", error))
    placed, offered = place(wanted, options, home, presets)
    priced, unpriced = _priced(placed, lambda: price_now(placed, home))
    if priced.smart is not None:
        choice = _kept(priced, home, presets)
    checks += check_length(priced, traits)
    draft = Plan(name, replicas, (*checks, *offered, *unpriced), base=base, choice=choice)
    return _check(draft, priced, presets, home, _Manner(replicas, options, watch, usual))


def _before_the_hub(model: ModelRef, options: Options, home: Home, taken: Collection[str]) -> Plan:
    """What can be said of a model of the hub without it, which may take its time to answer."""
    replicas = options.replicas or 1
    name = options.name if options.name is not None else free_name(slug(model), taken)
    mode = options.mode or "active"
    checks = (check_name(name, taken), check_plan(home, load_settings(home), name, replicas, mode))
    return Plan(name, replicas, checks, base=slug(model), waiting=("hub",))


def plan_change(
    options: Options, home: Home, presets: Mapping[str, Preset], name: str, spec: VariantSpec, replicas: int
) -> Plan:
    """The plan of a change to deployment `name`, which runs `spec`; what the options leave out stays as it is."""
    options = of_shell(options, home)
    try:
        model, hub = _changed_model(options, home, presets, spec)
    except StokerError as error:
        return Plan(name, options.replicas or replicas, (from_error("model", error),))
    given = replace(spec, model=model, share=None)
    if options.engine is not None and options.engine != spec.engine:
        given = with_engine(given, options, home, presets)
    merged = _merge(given, options, home)
    placed, offered = place(merged, options, home, presets)
    priced, unpriced = _priced(placed, lambda: price_of_change(spec, placed, home))
    # What runs is paid for already: only what is added to it is not.
    wanted = options.replicas or replicas
    length = check_length(priced, traits_of(priced.model, home))
    draft = Plan(name, wanted, (*hub, *length, *offered, *unpriced), choice=_kept(priced, home, presets))
    moved = (spec.host, spec.gpus) != (priced.host, priced.gpus)
    return _check(draft, priced, presets, home, _Manner(max(0, wanted - replicas), options, moved=moved))


def plan_variant(
    name: str, spec: VariantSpec, replicas: int, presets: Mapping[str, Preset], home: Home, added: int = 0
) -> Plan:
    """The plan of running `spec` as deployment `name`, which exists, with `added` replicas more than it has."""
    return _check(Plan(name, replicas, ()), spec, presets, home, _Manner(added))


def with_engine(spec: VariantSpec, options: Options, home: Home, presets: Mapping[str, Preset]) -> VariantSpec:
    """`spec` on the engine that is asked for: where that can run, and without what only the other one understands."""
    engine = options.engine or spec.engine
    preset = presets.get(engine)
    if preset is None:
        return replace(spec, engine=engine)
    asked_for = options.backend or _backend(options, home) or None
    gpus = options.gpus or spec.gpus
    choice = _chosen(traits_of(spec.model, home), options.host or spec.host, asked_for, engine, gpus, home, presets)
    known = all(part in preset.kv_types for part in spec.kv_type.split("/", 1))
    return replace(
        spec,
        engine=engine,
        backend=spec.backend if spec.backend in (SIMULATED, *ways_of(preset)) else choice.backend,
        gpus=gpus or (choice.gpus if choice.backend == CONTAINERS else None),
        kv_type=spec.kv_type if known else preset.kv_types[0],
        flags={},
        image=None,
        digest=None,
        pinned=None,
    )


def other_engines(spec: VariantSpec, home: Home, presets: Mapping[str, Preset]) -> list[VariantSpec]:
    """`spec` on each other engine that nothing speaks against where it could run."""
    traits, machine = traits_of(spec.model, home), machine_of(spec.host, home, presets)
    return [
        with_engine(spec, Options(engine=name), home, presets)
        for name in presets
        if name != spec.engine and choose(traits, machine, presets, engine=name, gpus=spec.gpus).fits
    ]


def _changed_model(
    options: Options, home: Home, presets: Mapping[str, Preset], spec: VariantSpec
) -> tuple[ModelRef, tuple[Check, ...]]:
    """The model of a change: another one, another file or revision of the same, or the present one."""
    if options.model is None and not (spec.model.repo and (options.quant or options.file or options.revision)):
        return spec.model, ()
    return pin_model(resolve(options.model or spec.model.repo, home), options, home, presets)


def _choose(options: Options, traits: Traits, home: Home, presets: Mapping[str, Preset]) -> Choice:
    """The engine for what is asked for; among all of them, or those that were left."""
    backend = options.backend or _backend(options, home) or None
    if options.smart:  # wherever it is, so no machine rules anything out
        return _chosen(traits, ANYWHERE, None, options.engine, None, home, presets)
    return _chosen(traits, options.host, backend, options.engine, options.gpus, home, presets)


def _kept(spec: VariantSpec, home: Home, presets: Mapping[str, Preset]) -> Choice:
    """What is to be said of the engine that a deployment has."""
    return _chosen(traits_of(spec.model, home), spec.host, spec.backend, spec.engine, spec.gpus, home, presets)


def _chosen(
    traits: Traits,
    host: str | None,
    backend: str | None,
    engine: str | None,
    gpus: str | None,
    home: Home,
    presets: Mapping[str, Preset],
) -> Choice:
    if backend == SIMULATED:  # where programs of this machine play those of the host
        host, backend = None, PROCESS
    return choose(traits, machine_of(host, home, presets), presets, engine=engine, backend=backend, gpus=gpus)


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or `base-2`, `base-3` … if that is in use."""
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _numbered(spec: VariantSpec, presets: Mapping[str, Preset], home: Home) -> VariantSpec:
    """`spec` with the GPUs that `all` are now, for an engine that has to be told how many they are."""
    preset = presets.get(spec.engine)
    if spec.gpus != "all" or preset is None or not preset.split:
        return spec
    known = [str(gpu.index) for gpu in asked("all", machine_of(spec.host, home, presets))]
    return replace(spec, gpus=",".join(known)) if known else spec


def _priced(spec: VariantSpec, price: Callable[[], Price]) -> tuple[VariantSpec, list[Check]]:
    """`spec` with its price, and the check that fails where it has none."""
    try:
        return replace(spec, price=price()), []
    except StokerError as error:
        return spec, [from_error("price", error)]


def _merge(spec: VariantSpec, options: Options, home: Home) -> VariantSpec:
    flags: dict[str, FlagValue] = {k: v for k, v in {**spec.flags, **options.flags}.items() if v != ""}
    return replace(
        spec,
        backend=options.backend or _backend(options, home) or spec.backend,
        host=options.host or spec.host,
        image=options.image or spec.image,
        digest=spec.digest if options.image is None else None,
        gpus=options.gpus or spec.gpus,
        mode=options.mode or spec.mode,
        context=spec.context if options.context is None else options.context,
        seqs=spec.seqs if options.seqs is None else options.seqs,
        kv_type=options.kv_type or spec.kv_type,
        flags=flags,
        env_names=tuple(sorted({*spec.env_names, *options.env})),
        memory_limit=spec.memory_limit if options.memory is None else options.memory,
    )


def _backend(options: Options, home: Home) -> str:
    """The backend that the options imply, empty for none."""
    if options.smart:
        return ""
    if options.host in load_settings(home).simulated:
        return SIMULATED
    return CONTAINERS if options.host or options.image or options.gpus else ""


@dataclass(frozen=True, slots=True)
class _Manner:
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


def _check(draft: Plan, spec: VariantSpec, presets: Mapping[str, Preset], home: Home, manner: _Manner) -> Plan:
    """`draft` with all its checks: at once those that this machine knows, side by side those that may take a while."""
    spec = _numbered(carried(spec, presets), presets, home)
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
    manner: _Manner,
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
