"""Pre-flight: named checks, each pass, warn or fail with code, reason and remedy."""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from app.domain.choice import Choice, Stage, Traits
from app.domain.engines import CONTAINERS, Preset, check_flag, gpu_choice, nearest
from app.domain.failures import CATALOGUE, StokerError
from app.domain.hosts import SIMULATED
from app.domain.names import NAME_RULE, valid_name
from app.domain.text import safe
from app.domain.variant import FlagValue, ModelRef, VariantSpec
from app.launch.fit import Fit
from app.launch.images import admit
from app.launch.machine import installed
from app.launch.models import at_hand, kept_files, size_of
from app.settings import Home, load_settings

_FLAG = re.compile(r"[a-z0-9][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENGINE_BYTES = 134_217_728
"""Address space that an engine's interpreter and libraries map, at the least: llama.cpp's do with 130 MiB or more."""
_CONTAINER_BYTES = 6_291_456
"""The least memory that Docker gives a container: 6 MiB."""
_STRICT = ("vllm", "sglang")
"""Engines that start with no longer context than the model's own configuration has."""
_TOTAL_CONTEXT = 2**31 - 1
"""llama.cpp keeps the total context in a 32-bit integer."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `code` is of the catalogue, set unless it passed.

    `forcible` is a failure that rests on an estimate, or on a look that may be old: `--force` goes past it.
    """

    name: str
    result: Literal["pass", "warn", "fail"]
    detail: str
    code: str | None = None
    remedy: str = ""
    forcible: bool = False

    def error(self) -> StokerError:
        """The error that a failed check is."""
        return StokerError(self.code or "CONFIG_INVALID", self.detail, self.remedy)


def passed(name: str, detail: str) -> Check:
    """A check that passed."""
    return Check(name, "pass", detail)


def failed(name: str, code: str, detail: str, remedy: str = "") -> Check:
    """A check that failed; the remedy is the catalogue's unless given."""
    return Check(name, "fail", detail, code, remedy or CATALOGUE[code].remedy)


def from_error(name: str, error: StokerError) -> Check:
    """A check that an error ended."""
    return Check(name, "fail", error.message, error.code, error.remedy)


def forced(check: Check) -> Check:
    """The check with its failure made a warning, if it is one that may be."""
    return replace(check, result="warn") if check.forcible and check.result == "fail" else check


def check_name(name: str, taken: Collection[str]) -> Check:
    """The deployment's name is well formed and free."""
    if not valid_name(name):
        return failed("name", "CONFIG_INVALID", f"`{name}` is no name for a deployment.", f"Use {NAME_RULE}.")
    if name in taken:
        return failed("name", "NAME_TAKEN", f"There is a deployment `{name}` already.")
    return passed("name", f"`{name}` is free")


def check_spec(
    spec: VariantSpec, presets: Mapping[str, Preset], home: Home, choice: Choice | None = None
) -> Iterator[Check]:
    """Everything about a configuration that can be known before an engine is started.

    `choice` is why it has its engine, where that was asked.
    """
    preset = presets.get(spec.engine)
    if preset is None:
        near = nearest(spec.engine, list(presets))
        yield failed("engine", "CONFIG_INVALID", f"There is no engine `{spec.engine}`.", f"Did you mean `{near}`?")
        return
    boxed = spec.backend == CONTAINERS
    yield _engine(preset, boxed, choice)
    left = spec.model.source == "hub" and not spec.model.files
    yield _repository(spec.model, preset) if left else _model(spec.model, preset, choice, home)
    if at_hand(spec.model, home) is None:
        yield _room(home, spec.model)
    if spec.model.source == "hub" and spec.flags.get("trust-remote-code"):
        yield _remote_code(spec.model, home)
    yield _backend(spec.backend)
    if boxed:
        yield from _container(spec, home)
    elif spec.backend == SIMULATED:
        yield _simulated(spec, home)
    elif spec.host or spec.image or spec.gpus:
        yield failed("backend", "CONFIG_INVALID", "Host, image and GPUs are for containers.", "Use `--backend docker`.")
    elif spec.memory_limit is not None:
        yield _memory(spec.memory_limit, spec.model.size or 0)
    yield _context(spec)
    yield _kv_type(spec.kv_type, preset)
    yield _flags(spec.flags, preset)
    yield _environment(spec.env_names, preset)


def check_fit(found: Fit) -> Check:
    """One replica fits the memory that is there, as far as that can be estimated.

    Of host memory only what the machine could never hold is refused: weights are pages of their file, which the kernel
    may drop, and what others use now they may give back. A GPU gives nothing back, and whoever is there stays.
    """
    code = "GPU_INCOMPATIBLE" if found.on_gpu else "HOST_OOM"
    about = f"about {_gib(found.need)} GiB"
    remedy = CATALOGUE[code].remedy
    if found.context:
        remedy = f"At most {found.context:,} tokens fit: `--ctx {found.context}`."
    refused = f"{remedy} Estimated: `--force` tries it."
    if found.need > found.total:
        text = f"{about} are more than the {_gib(found.total)} GiB of {found.place}."
        return Check("fit", "fail", text, code, refused, forcible=True)
    if found.on_gpu and found.estimate.fits is False:
        return Check("fit", "fail", f"{found.estimate.why}.", code, refused, forcible=True)
    if found.need > found.limit:
        return Check("fit", "warn", f"{about}, {_gib(found.limit)} GiB may be used", code, remedy)
    if found.most > found.limit:
        return Check("fit", "warn", f"{about}, close to the {_gib(found.limit)} GiB there are", code, remedy)
    return passed("fit", f"{about} of {found.place if found.on_gpu else 'memory'}, {_known_by(found)}")


def _known_by(found: Fit) -> str:
    """How the figure is known: estimated, or as far as it was measured here."""
    learnt = found.estimate.learnt
    if learnt is None:
        return "estimated"
    return learnt.words if learnt.scope == "settings" else f"estimated, {learnt.words}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"


def check_image(spec: VariantSpec, preset: Preset, home: Home) -> Check:
    """The policy lets in the image that a container would run. Under `signed` the registry is asked."""
    try:
        images = () if preset.container is None else admit(home, spec, preset.container.images_for(spec))
        return passed("image", f"{' or '.join(images)}; policy `{load_settings(home).images.policy}`")
    except StokerError as error:
        return from_error("image", error)


def _container(spec: VariantSpec, home: Home) -> Iterator[Check]:
    """What only containers have: a host, GPUs, and the least memory that one gets."""
    try:
        hosts = load_settings(home).hosts
        if spec.host is not None and spec.host not in hosts:
            known = f"Known: {', '.join(sorted(hosts)) or 'none'}. Add one: `stoker hosts add ADDRESS --name NAME`."
            yield failed("host", "CONFIG_INVALID", f"There is no host `{safe(spec.host, 80)}`.", known)
        else:
            yield passed("host", "this machine" if spec.host is None else f"{spec.host}, {hosts[spec.host].address}")
    except StokerError as error:
        yield from_error("host", error)
        return
    try:
        gpu_choice(spec.gpus)
        yield passed("gpus", spec.gpus or "none")
    except StokerError as error:
        yield from_error("gpus", error)
    if spec.memory_limit is not None and spec.memory_limit < _CONTAINER_BYTES:
        yield failed("memory", "HOST_OOM", "A container gets 6 MiB at the least.", "Allow more (`--memory`).")


def _simulated(spec: VariantSpec, home: Home) -> Check:
    try:
        known = load_settings(home).simulated
    except StokerError as error:
        return from_error("host", error)
    if spec.host in known and not spec.image:
        return passed("host", f"{spec.host}, simulated")
    remedy = f"Give one of [simulated.NAME] with `--host`, and no image: {', '.join(sorted(known)) or 'there is none'}."
    return failed("host", "CONFIG_INVALID", f"`{safe(spec.host or '', 80)}` is no simulated host.", remedy)


def _engine(preset: Preset, boxed: bool, choice: Choice | None) -> Check:
    if boxed and preset.container is None:
        return failed("engine", "CONFIG_INVALID", f"{preset.name} has no image.", "Use `--backend process`.")
    if not boxed and not preset.command:
        return failed("engine", "CONFIG_INVALID", f"{preset.name} runs in containers.", "Use `--backend docker`.")
    if not boxed and not installed(preset):
        text = f"{preset.name} is not installed: no module `{preset.module}`."
        return failed(
            "engine", "ENTRYPOINT_MISSING", text, f"Install it: `{preset.install}`." if preset.install else ""
        )
    if choice is None or (choice.doubt is not None and choice.doubt.stage == Stage.FORMAT):
        # What the format is, and who would take it, the model's own check says.
        return passed("engine", f"{preset.name} in a container" if boxed else f"{preset.name} is installed")
    return check_choice(choice)


def check_length(spec: VariantSpec, traits: Traits) -> list[Check]:
    """What there is to say of a context longer than the model was made for, to an engine that refuses that."""
    if spec.engine not in _STRICT or traits.context is None or spec.context <= traits.context:
        return []
    text = f"{spec.context:,} tokens; the model was made for {traits.context:,}"
    remedy = f"{spec.engine} refuses that, unless its flags stretch the model: `--ctx {traits.context}`."
    return [Check("length", "warn", text, "CTX_TOO_LARGE", remedy)]


def check_choice(choice: Choice) -> Check:
    """The engine can serve the model here, and why it is this one; what it is only not made for may be tried."""
    if choice.doubt is None:
        return passed("engine", choice.reason)
    remedy = choice.instead or "Choose another engine: `--engine E`."
    text = f"{choice.doubt.place}: {choice.doubt.why}."
    return Check("engine", "fail" if choice.refused else "warn", text, choice.doubt.code, remedy)


def _repository(model: ModelRef, preset: Preset) -> Check:
    """A model of the hub, which only an engine that fetches it by itself can be given."""
    if preset.container is None or preset.container.cache is None:
        return failed("model", "MODEL_NOT_FOUND", f"`{model.name}` is neither the bundled model nor a file.")
    return passed("model", f"{model.name}, which {preset.name} fetches from the hub by itself")


def _model(model: ModelRef, preset: Preset, choice: Choice | None, home: Home) -> Check:
    found = at_hand(model, home)
    if found is None and model.format in preset.formats:
        return Check("model", "warn", "not here yet, fetched from the hub first", "MUST_REDOWNLOAD")
    path = Path(model.path if found is None else found.path)
    if found is not None and not path.is_file() and (model.format == "unknown" or not path.is_dir()):
        return failed("model", "MODEL_NOT_FOUND", f"`{path}` is not a file.")
    if found is not None and not os.access(path, os.R_OK):
        return failed("model", "MODEL_NOT_FOUND", f"`{path}` may not be read.", "Give yourself the right to read it.")
    if model.format in preset.formats:
        return passed("model", f"{model.name}, {model.format}")
    formats = " or ".join(preset.formats)
    if model.format == "unknown":
        return failed("model", "MODEL_LOAD_ERROR", f"`{path}` is no {formats} file.")
    text = f"{preset.name} serves {formats}, and this is {model.format}."
    instead = "" if choice is None else choice.instead
    return failed("model", "ARCH_UNSUPPORTED", text, instead or f"Give a {formats} file.")


def _room(home: Home, model: ModelRef) -> Check:
    size, place = model.size or 0, home.models
    if model.files:
        place = Path(model.folder)
        size = sum(file.size for file, path in kept_files(model) if size_of(path) != file.size)
    free = shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free
    text = f"{size / 1e6:,.0f} MB to fetch, {free / 1e6:,.0f} MB free"
    return passed("disk", text) if free > size else failed("disk", "DISK_FULL", text)


def _remote_code(model: ModelRef, home: Home) -> Check:
    """Code that comes with a model runs only at the commit that somebody has read."""
    name = f"{model.repo}@{model.revision or 'COMMIT'}"
    if name in load_settings(home).models.remote_code:
        return passed("code", f"the code of {safe(name, 150)} is allowed")
    text = f"{safe(model.repo, 100)} would run code of its own, which is not allowed."
    remedy = f'Read it at that commit, then allow it in config.toml: [models] remote_code = ["{safe(name, 150)}"].'
    return failed("code", "CODE_NOT_ALLOWED", text, remedy)


def _memory(limit: int, weights: int) -> Check:
    """The limit is on address space, which holds the weights and the engine's own code before anything is computed."""
    least = weights + _ENGINE_BYTES
    if limit >= least:
        return passed("memory", f"at most {limit / 2**20:,.0f} MiB")
    text = f"{limit / 2**20:,.0f} MiB are too few: weights and engine alone take {least / 2**20:,.0f} MiB."
    return failed("memory", "HOST_OOM", text, "Allow more (`--memory`), or choose a smaller model.")


def _backend(name: str) -> Check:
    known = [entry.name for entry in entry_points(group="stoker.backends")]
    if name in known:
        return passed("backend", name)
    remedy = f"Did you mean `{nearest(name, known)}`?"
    return failed("backend", "CONFIG_INVALID", f"There is no backend `{name}`.", remedy)


def _context(spec: VariantSpec) -> Check:
    total = spec.context * spec.seqs
    if spec.context < 1 or spec.seqs < 1 or total > _TOTAL_CONTEXT:
        text = f"{spec.seqs:,} sequences of {spec.context:,} tokens cannot be."
        return failed(
            "context", "CONFIG_INVALID", text, f"Both are 1 at least, their product {_TOTAL_CONTEXT:,} at most."
        )
    return passed("context", f"{spec.seqs} at once, {spec.context:,} tokens each")


def _kv_type(kv_type: str, preset: Preset) -> Check:
    for part in kv_type.split("/", 1):
        if part not in preset.kv_types:
            near = nearest(part, list(preset.kv_types))
            text = f"{preset.name} has no cache type `{part}`."
            return failed(
                "kv type", "CONFIG_INVALID", text, f"Did you mean `{near}`? Known: {', '.join(preset.kv_types)}."
            )
    return passed("kv type", kv_type)


def _flags(flags: Mapping[str, FlagValue], preset: Preset) -> Check:
    for flag, value in flags.items():
        if not _FLAG.fullmatch(flag) or (isinstance(value, str) and not value.isprintable()):
            return failed("flags", "BAD_FLAG", f"`{flag}` is no flag.", "Flags are spelled as the engine spells them.")
        try:
            check_flag(preset, flag)
        except StokerError as error:
            return from_error("flags", error)
    return passed("flags", ", ".join(flags) or "none")


def _environment(names: Collection[str], preset: Preset) -> Check:
    for name in names:
        if not _VARIABLE.fullmatch(name):
            return failed(
                "environment", "CONFIG_INVALID", f"`{name}` is no name for a variable.", "Use `--env NAME=value`."
            )
        if name == preset.key_env:
            return failed("environment", "CONFIG_INVALID", f"`{name}` is set by stoker itself.", "Leave it out.")
    return passed("environment", ", ".join(names) or "none")
