"""The engine of a launch or a change: which one serves it where it would run, and what another one would make of it."""

from collections.abc import Mapping
from dataclasses import replace

from app.domain.choice import Choice, Traits, choose, ways_of
from app.domain.engines import CONTAINERS, PROCESS, Preset
from app.domain.hosts import SIMULATED
from app.domain.variant import VariantSpec
from app.launch.machine import ANYWHERE, machine_of
from app.launch.options import Options
from app.launch.traits import traits_of
from app.settings import Home, load_settings


def choose_for(options: Options, traits: Traits, home: Home, presets: Mapping[str, Preset]) -> Choice:
    """The engine for what is asked for; among all of them, or those that were left."""
    backend = options.backend or backend_of(options, home) or None
    if options.smart:  # wherever it is, so no machine rules anything out
        return _chosen(traits, ANYWHERE, None, options.engine, None, home, presets)
    return _chosen(traits, options.host, backend, options.engine, options.gpus, home, presets)


def kept(spec: VariantSpec, home: Home, presets: Mapping[str, Preset]) -> Choice:
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


def with_engine(spec: VariantSpec, options: Options, home: Home, presets: Mapping[str, Preset]) -> VariantSpec:
    """`spec` on the engine that is asked for: where that can run, and without what only the other one understands."""
    engine = options.engine or spec.engine
    preset = presets.get(engine)
    if preset is None:
        return replace(spec, engine=engine)
    asked_for = options.backend or backend_of(options, home) or None
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


def backend_of(options: Options, home: Home) -> str:
    """The backend that the options imply, empty for none."""
    if options.smart:
        return ""
    if options.host in load_settings(home).simulated:
        return SIMULATED
    return CONTAINERS if options.host or options.image or options.gpus else ""
