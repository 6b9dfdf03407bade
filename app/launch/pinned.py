"""A repository of the hub becomes a model: one commit, the files of it that are meant, and where they are kept here."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from app.domain.engines import CONTAINERS, Preset
from app.domain.failures import CATALOGUE, StokerError
from app.domain.repository import choose_checkpoint, choose_gguf, parse_name, quantisation
from app.domain.text import safe
from app.domain.variant import ModelFile, ModelRef, VariantSpec
from app.launch.checks import Check, from_error, passed
from app.launch.hub import Access, Listing, access_of, cached_listing, check_open, listing
from app.launch.options import Options
from app.settings import Home, load_settings


def pin_model(
    model: ModelRef, options: Options, home: Home, presets: Mapping[str, Preset]
) -> tuple[ModelRef, tuple[Check, ...]]:
    """`model` at the commit that its revision is now, with its files, and what there is to say of the hub.

    Where the hub cannot be asked, what this machine's cache has is taken. What is no model of the hub stays as it is.
    """
    if model.source != "hub":
        return model, ()
    repo, choice, revision = parse_name(model.name) or (model.repo, None, None)
    choice, revision = options.file or options.quant or choice, options.revision or revision
    preset = presets.get(options.engine or "")
    try:
        access = access_of(home, options.env)
        found, said = _ask(repo, revision, access)
        code = f"{repo}@{found.commit}" in load_settings(home).models.remote_code
        pinned = model_at(found, choice, preset.formats if preset else (), code=code)
        if found.closed:
            check_open(found, pinned.files[0].name)
    except StokerError as error:
        if error.code == "OFFLINE" and preset is not None and preset.container is not None and preset.container.cache:
            text = f"{error.message} {preset.name} is left to fetch it where it runs."
            warning = Check("hub", "warn", text, "OFFLINE", CATALOGUE["OFFLINE"].remedy)
            return replace(model, name=repo, path=repo, repo=repo, revision=revision), (warning,)
        return model, (from_error("hub", error),)
    return pinned, (said,)


def model_at(found: Listing, choice: str | None, formats: Collection[str], *, code: bool = False) -> ModelRef:
    """The model that is meant of what a repository holds. `choice` is a quantisation or file, `formats` are what the
    engine takes, empty if that is open. Raises MODEL_NOT_FOUND and OFFLINE."""
    names = list(found.files)
    checkpoint = "config.json" in names and any(name.endswith(".safetensors") for name in names)
    packed = any(name.endswith(".gguf") for name in names)
    if choice is None and checkpoint and (not formats or "safetensors" in formats or not packed):
        chosen, format_, name = choose_checkpoint(names, found.repo, code=code), "safetensors", found.repo
    else:
        chosen, format_ = choose_gguf(names, choice, found.repo), "gguf"
        name = f"{found.repo}:{quantisation(chosen[0]) or chosen[0]}"
    files = tuple(_file(found, each) for each in chosen)
    folder = found.access.folder(found.repo) / "snapshots" / found.commit
    return ModelRef(
        name=name,
        source="hub",
        path=str(folder / chosen[0] if format_ == "gguf" else folder),
        format=format_,
        size=sum(file.size for file in files if file.name.endswith((".gguf", ".safetensors"))),
        repo=found.repo,
        revision=found.commit,
        files=files,
    )


def carried(spec: VariantSpec, presets: Mapping[str, Preset]) -> VariantSpec:
    """`spec` as it is to run: on another host, an engine that can fetch its model does so by itself."""
    preset, model = presets.get(spec.engine), spec.model
    box = preset.container if preset is not None and spec.backend == CONTAINERS else None
    if spec.host is None or not model.files or box is None or box.cache is None:
        return spec
    return replace(spec, model=replace(model, path=model.repo, files=()))


def _ask(repo: str, revision: str | None, access: Access) -> tuple[Listing, Check]:
    try:
        found = listing(repo, revision, access)
    except StokerError as error:
        kept = cached_listing(repo, revision, access) if error.code == "OFFLINE" else None
        if kept is None:
            raise
        text = f"{safe(repo, 100)} at {kept.commit[:8]}, as this machine has it: {error.message}"
        return kept, Check("hub", "warn", text, "OFFLINE", "It runs; newer revisions are not known.")
    words = [f"{safe(repo, 100)} at {found.commit[:8]}", "closed, and open to us" if found.closed else "public"]
    return found, passed("hub", ", ".join(filter(None, [*words, safe(found.licence, 40)])))


def _file(found: Listing, name: str) -> ModelFile:
    size = found.files[name]
    if size is None:
        raise StokerError("OFFLINE", f"The hub does not say how large {safe(name, 100)} is.")
    return ModelFile(name, size, found.tags.get(name))
