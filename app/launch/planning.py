"""From options to a plan: a new deployment, a change of one, or what one is to run again."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from app.domain.engines import CONTAINERS, Preset
from app.domain.failures import StokerError
from app.domain.money import Price
from app.domain.variant import FlagValue, ModelRef, VariantSpec
from app.launch.checking import Manner, check
from app.launch.checks import Check, check_length, check_name, from_error
from app.launch.choosing import backend_of, choose_for, kept, with_engine
from app.launch.hub import of_shell
from app.launch.models import resolve, slug
from app.launch.money import check_plan
from app.launch.options import Options
from app.launch.pinned import pin_model
from app.launch.plan import Plan, Watch
from app.launch.pricing import price_now, price_of_change
from app.launch.sizing import sized
from app.launch.smart import place
from app.launch.traits import traits_of
from app.settings import Home, load_settings


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
    choice = choose_for(options, traits, home, presets)
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
        choice = kept(priced, home, presets)
    checks += check_length(priced, traits)
    draft = Plan(name, replicas, (*checks, *offered, *unpriced), base=base, choice=choice)
    return check(draft, priced, presets, home, Manner(replicas, options, watch, usual))


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
    draft = Plan(name, wanted, (*hub, *length, *offered, *unpriced), choice=kept(priced, home, presets))
    moved = (spec.host, spec.gpus) != (priced.host, priced.gpus)
    return check(draft, priced, presets, home, Manner(max(0, wanted - replicas), options, moved=moved))


def plan_variant(
    name: str, spec: VariantSpec, replicas: int, presets: Mapping[str, Preset], home: Home, added: int = 0
) -> Plan:
    """The plan of running `spec` as deployment `name`, which exists, with `added` replicas more than it has."""
    return check(Plan(name, replicas, ()), spec, presets, home, Manner(added))


def _changed_model(
    options: Options, home: Home, presets: Mapping[str, Preset], spec: VariantSpec
) -> tuple[ModelRef, tuple[Check, ...]]:
    """The model of a change: another one, another file or revision of the same, or the present one."""
    if options.model is None and not (spec.model.repo and (options.quant or options.file or options.revision)):
        return spec.model, ()
    return pin_model(resolve(options.model or spec.model.repo, home), options, home, presets)


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or `base-2`, `base-3` … if that is in use."""
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


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
        backend=options.backend or backend_of(options, home) or spec.backend,
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
