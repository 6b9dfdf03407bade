"""From options to a configuration, the command it becomes, and the checks it must pass."""

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain.containers import docker_run
from app.domain.engines import CONTAINERS, Preset, compute_threads, render_command
from app.domain.failures import StokerError
from app.domain.hosts import SIMULATED
from app.domain.money import FREE
from app.domain.variant import FlagValue, VariantSpec
from app.launch.checks import Check, check_fit, check_name, check_spec, from_error
from app.launch.fit import Fit, fit
from app.launch.models import resolve, slug
from app.launch.money import check_balance, check_plan
from app.launch.options import Options
from app.launch.pinning import pin
from app.launch.smart import place
from app.settings import Home, load_settings

DEFAULT_ENGINE = "llama.cpp"
DEFAULT_BACKEND = "process"


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched. `spec` is None when the model could not be found; `command` is what would be started.

    `base` is what a name is made from where none was given, `fit` how one replica fits this machine if that is known.
    """

    name: str
    replicas: int
    checks: tuple[Check, ...]
    spec: VariantSpec | None = None
    command: tuple[str, ...] = ()
    base: str = ""
    fit: Fit | None = None

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
                {"name": c.name, "result": c.result, "code": c.code, "detail": c.detail, "remedy": c.remedy}
                for c in self.checks
            ],
            "estimate": None if self.fit is None else self.fit.estimate.to_json(self.fit.context),
            "command": list(self.command),
            "price_per_hour_micro": 0 if self.spec is None else self.spec.price.by_hour * self.replicas,
        }


def plan_launch(options: Options, home: Home, presets: Mapping[str, Preset], taken: Collection[str]) -> Plan:
    """The plan of a new deployment. `taken` are the names in use; without a name one is made from the model's."""
    try:
        model = resolve(options.model or "", home)
    except StokerError as error:
        named = () if options.name is None else (check_name(options.name, taken),)
        return Plan(options.name or "", options.replicas or 1, (*named, from_error("model", error)))
    engine = options.engine or DEFAULT_ENGINE
    preset = presets.get(engine)
    spec = VariantSpec(
        model=model,
        engine=engine,
        backend=DEFAULT_BACKEND,
        context=preset.context if preset else 0,
        seqs=preset.seqs if preset else 0,
        kv_type=preset.kv_types[0] if preset else "",
        price=load_settings(home).billing.price,
    )
    base = slug(model)
    name = options.name if options.name is not None else free_name(base, taken)
    merged, pinned = pin(_merge(spec, options, home), options.image)
    merged, offered = place(merged, options, home, presets)
    checks = (check_name(name, taken), *pinned, *offered)
    plan = _finish(name, options.replicas or 1, merged, presets, home, checks)
    return replace(plan, base=base)


def plan_change(
    options: Options, home: Home, presets: Mapping[str, Preset], name: str, spec: VariantSpec, replicas: int
) -> Plan:
    """The plan of a change to deployment `name`, which runs `spec`; what the options leave out stays as it is."""
    try:
        model = spec.model if options.model is None else resolve(options.model, home)
    except StokerError as error:
        return Plan(name, options.replicas or replicas, (from_error("model", error),))
    merged = _merge(replace(spec, model=model, engine=options.engine or spec.engine), options, home)
    merged, pinned = pin(merged, options.image)
    merged, offered = place(merged, options, home, presets)
    # What runs is paid for already: only what is added to it is not.
    wanted = options.replicas or replicas
    return _finish(name, wanted, merged, presets, home, (*pinned, *offered), max(0, wanted - replicas))


def plan_variant(
    name: str, spec: VariantSpec, replicas: int, presets: Mapping[str, Preset], home: Home, added: int = 0
) -> Plan:
    """The plan of running `spec` as deployment `name`, which exists, with `added` replicas more than it has."""
    return _finish(name, replicas, spec, presets, home, (), added)


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or `base-2`, `base-3` … if that is in use."""
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _merge(spec: VariantSpec, options: Options, home: Home) -> VariantSpec:
    flags: dict[str, FlagValue] = {k: v for k, v in {**spec.flags, **options.flags}.items() if v != ""}
    return replace(
        spec,
        backend=options.backend or _backend(options, home) or spec.backend,
        host=options.host or spec.host,
        image=options.image or spec.image,
        digest=spec.digest if options.image is None else None,
        gpus=options.gpus or spec.gpus,
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


def _finish(
    name: str,
    replicas: int,
    spec: VariantSpec,
    presets: Mapping[str, Preset],
    home: Home,
    checks: tuple[Check, ...],
    added: int | None = None,
) -> Plan:
    settings = load_settings(home)
    price = FREE if added == 0 else spec.price
    money = check_balance(home, settings, price, replicas if added is None else added)
    checks = (*checks, *check_spec(spec, presets, home), money, check_plan(home, settings, name, replicas))
    command: tuple[str, ...] = ()
    found: Fit | None = None
    if all(check.result != "fail" for check in checks):
        found, check = _fit(spec, home)
        checks = (*checks, *check)
        threads = compute_threads(os.cpu_count())
        command = render_command(presets[spec.engine], spec, name, sys.executable, threads)
        command = docker_run(presets[spec.engine], spec, command)
    return Plan(name, replicas, checks, spec, command, fit=found)


def _fit(spec: VariantSpec, home: Home) -> tuple[Fit | None, list[Check]]:
    """How `spec` fits this machine, and the check that says so; what cannot be estimated is only a warning.

    Nothing is said of another host's memory, of a GPU's, or of weights that are not here.
    """
    if spec.host or spec.gpus or spec.model.source == "hub":
        return None, []
    try:
        found = fit(spec, home)
    except StokerError as error:
        return None, [Check("fit", "warn", f"not known: {error.message}", error.code, error.remedy)]
    return found, [] if found is None else [check_fit(found)]
