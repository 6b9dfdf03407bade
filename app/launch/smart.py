"""Smart placement as a launch asks for it: the constraints, what they leave, and the check that says so."""

from collections.abc import Mapping
from dataclasses import replace

from app.domain.engines import CONTAINERS, Preset, gpu_choice
from app.domain.failures import CATALOGUE, StokerError
from app.domain.hosts import SIMULATED
from app.domain.money import format_amount
from app.domain.offers import Wanted, explain, match
from app.domain.placement import Placement
from app.domain.variant import VariantSpec
from app.launch.checks import Check, failed, from_error, passed
from app.launch.need import needed
from app.launch.offers import known_offers
from app.launch.options import Options
from app.settings import Home, load_settings


def place(
    spec: VariantSpec, options: Options, home: Home, presets: Mapping[str, Preset]
) -> tuple[VariantSpec, tuple[Check, ...]]:
    """`spec` where it would be tried first, if it is to run wherever its constraints allow, and what there is to say.

    A change that names a place ends that; any other keeps the constraints, and asks anew what the engine needs.
    """
    if not options.smart and (spec.smart is None or options.backend or options.host or options.gpus):
        return replace(spec, smart=None), ()
    try:
        wanted = _wanted(spec, options, presets)
        need = needed(spec, home, wanted.gpus)
        wanted = replace(wanted, need=need or 0)
        found = known_offers(home, load_settings(home))
    except StokerError as error:
        return spec, (from_error("offers", error),)
    ranked = match(found, wanted)
    if not ranked:
        why = explain(found, wanted)
        remedy = f"{why.change}." if why.change else CATALOGUE["SMART_NO_MATCH"].remedy
        return spec, (failed("offers", "SMART_NO_MATCH", why.sentence(), remedy),)
    first = Placement.of(ranked[0], ranked[0].choose(wanted.gpus))
    unknown = "" if need else ", whatever memory it needs: that is not known"
    text = f"{len(ranked)} of {len(found)} match, first {first.name} at {format_amount(first.price)} an hour{unknown}"
    return replace(spec.placed(first), smart=wanted), (passed("offers", text),)


def _wanted(spec: VariantSpec, options: Options, presets: Mapping[str, Preset]) -> Wanted:
    """What the options ask for; what the deployment asked for before where they are silent. Raises CONFIG_INVALID."""
    if not options.smart and spec.smart is not None:
        return replace(spec.smart, backends=_able(presets.get(spec.engine)))
    indexes, count = gpu_choice(options.gpus) if options.gpus != "0" else ((), 0)
    if len(indexes) == 1 and indexes[0].isdecimal():
        count = int(indexes[0])
    elif indexes:
        text = f"`{options.gpus}` names GPUs, and Smart chooses them."
        raise StokerError("CONFIG_INVALID", text, "Say how many: `--gpus 2`.")
    able = _able(presets.get(spec.engine))
    # An engine that runs in containers only is one for GPUs.
    least = int(bool(options.gpu) or able == (CONTAINERS,))
    return Wanted(
        gpu=options.gpu or "",
        gpus=least if count is None else count,
        region=options.region or "",
        tier=options.tier or "",
        max_price=options.max_price,
        backend=options.backend or "",
        host=options.host or "",
        backends=able,
    )


def _able(preset: Preset | None) -> tuple[str, ...]:
    """The backends that can run an engine."""
    if preset is None:
        return ()
    boxed = (CONTAINERS,) if preset.container is not None else ()
    return (*(("process", SIMULATED) if preset.command else ()), *boxed)
