"""What this machine has of the hub's models: what deployments need of it, what is damaged, what may go. Blocking."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.failures import StokerError
from app.domain.repository import parse_name, quantisation
from app.domain.text import safe
from app.domain.variant import ModelFile, VariantSpec
from app.launch.download import differs
from app.launch.models import cache_of, kept_files, size_of
from app.settings import Home
from app.store import read

_FOLDER = re.compile(r"models--([^/]+?)--([^/]+)")
_TAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(slots=True)
class Kept:
    """A model at one commit: on this machine if `here`, and on `hosts` whose engines have fetched it by themselves.

    `size` is bytes of its files here, `begun` those of files of the repository that have not arrived whole. `variants`
    are those of deployments that have it in their configuration, as `name/number`; `needed` says that one of them is
    what a deployment runs, or would. `missing` are files of those that are not here, or not of their size.
    """

    repo: str
    revision: str | None
    here: bool = False
    size: int = 0
    begun: int = 0
    hosts: list[str] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)
    needed: bool = False
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Use:
    """A variant of a deployment; `needed` unless it is an earlier one that nothing runs."""

    name: str
    spec: VariantSpec
    needed: bool


def kept(home: Home) -> list[Kept]:
    """Every model of the hub that this machine's cache holds or a deployment has in its configuration, by name."""
    cache = cache_of(home)
    found: defaultdict[tuple[str, str | None], Kept] = defaultdict(lambda: Kept("", None))
    for repo, folder in _repositories(cache):
        begun = sum(size_of(path) or 0 for path in folder.glob("blobs/*.incomplete"))
        snapshots = [path for path in sorted(folder.glob("snapshots/*")) if path.is_dir()]
        for snapshot in snapshots:
            blobs = {path.resolve() for path in snapshot.rglob("*") if path.is_file()}
            size = sum(size_of(path) or 0 for path in blobs)
            found[repo, snapshot.name] = Kept(repo, snapshot.name, True, size, begun, ["local"])
        if begun and not snapshots:
            found[repo, None] = Kept(repo, None, True, 0, begun, ["local"])
    for use in uses(home):
        model = use.spec.model
        if not model.repo:
            continue
        one = found[model.repo, model.revision]
        one.repo, one.revision = model.repo, model.revision
        one.variants.append(use.name)
        one.needed |= use.needed
        lacking = [file.name for file, path in kept_files(model) if size_of(path) != file.size] if model.files else []
        one.missing += [name for name in lacking if name not in one.missing]
        if not model.files and use.spec.host and use.spec.host not in one.hosts:
            one.hosts.append(use.spec.host)
    return sorted(found.values(), key=lambda one: (one.repo.lower(), one.revision or ""))


def uses(home: Home) -> Iterator[Use]:
    """Every variant of every deployment that has not been removed; none if there is no store."""
    try:
        with read.reading(home.store) as connection:
            for deployment in read.deployments(connection):
                current = {deployment.variant_id, *(instance.variant_id for instance in deployment.instances)}
                for variant_id, number, spec, _ in read.variants(connection, deployment.id):
                    yield Use(f"{deployment.name}/{number}", spec, variant_id in current)
    except StokerError as error:
        if error.code != "NOT_FOUND":
            raise


def unused(home: Home) -> list[tuple[str, int]]:
    """What no deployment needs, the largest first: names as `models rm` takes them, and bytes."""
    idle = [one for one in kept(home) if one.here and not one.needed]
    return sorted(((called(one), one.size + one.begun) for one in idle), key=lambda pair: -pair[1])


def called(one: Kept) -> str:
    """The name under which a model at its commit is found again."""
    return one.repo if one.revision is None else f"{one.repo}@{one.revision[:12]}"


def find(home: Home, text: str) -> list[Kept]:
    """What is here under the name `text`: at the commit that begins as it says, or at all. Raises NOT_FOUND."""
    repo, _, revision = parse_name(text) or (text, None, None)
    found = [one for one in kept(home) if one.here and one.repo.lower() == repo.lower()]
    found = [one for one in found if revision is None or (one.revision or "").startswith(revision)]
    if not found:
        text = f"This machine has no model `{safe(text, 100)}` of the hub."
        raise StokerError("NOT_FOUND", text, "List them: `stoker models ls`.")
    return found


def remove(home: Home, one: Kept) -> None:
    """Take a model out of the cache; what other commits of it share stays. Raises MODEL_IN_USE."""
    if one.needed:
        users = ", ".join(one.variants)
        first = one.variants[0].partition("/")[0]
        text = f"{safe(called(one), 150)} is needed by {users}."
        raise StokerError("MODEL_IN_USE", text, f"Remove that first: `stoker rm {first}`.")
    folder = cache_of(home) / _folder_name(one.repo)
    others = [path for path in folder.glob("snapshots/*") if path.name != one.revision]
    try:
        if not others:
            shutil.rmtree(folder)
            return
        _remove_snapshot(folder, one.revision or "", others)
    except OSError as error:
        raise StokerError("CONFIG_INVALID", f"{folder} cannot be removed: {error.strerror}.") from error


def wrong(home: Home, one: Kept, note: Callable[[str], None]) -> dict[str, str]:
    """Files of a model here that are not what the hub has, and how. `note` is told the name of each that is read."""
    folder = cache_of(home) / _folder_name(one.repo) / "snapshots" / (one.revision or "")
    files = {file.name: file for file in _told(folder)}
    for use in uses(home):
        if (use.spec.model.repo, use.spec.model.revision) == (one.repo, one.revision):
            files |= {file.name: file for file in use.spec.model.files}
    found = {}
    for name, file in files.items():
        note(name)
        if how := differs(file, folder / name):
            found[name] = how
    return found


def names_in_cache(home: Home) -> list[str]:
    """Models of the hub that this machine has, as `launch` takes them."""
    names = []
    for repo, folder in _repositories(cache_of(home)):
        files = {path.name for path in folder.glob("snapshots/*/*")}
        quants = [quantisation(name) or name for name in files if name.endswith(".gguf")]
        names += [f"{repo}:{quant}" for quant in quants]
        names += [repo] if any(name.endswith(".safetensors") for name in files) else []
    return sorted(set(names))


def _repositories(cache: Path) -> Iterator[tuple[str, Path]]:
    for folder in sorted(cache.glob("models--*")):
        if (match := _FOLDER.fullmatch(folder.name)) is not None:
            yield f"{match[1]}/{match[2]}", folder


def _folder_name(repo: str) -> str:
    return f"models--{repo.replace('/', '--')}"


def _told(folder: Path) -> Iterator[ModelFile]:
    """The files of a snapshot whose links tell their checksums."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and _TAG.fullmatch(tag := path.readlink().name):
            yield ModelFile(str(path.relative_to(folder)), size_of(path) or 0, tag)


def _blobs(snapshot: Path) -> set[Path]:
    """What the links of a snapshot lead to, which may be links themselves, to what several repositories share."""
    links = (path for path in snapshot.rglob("*") if path.is_symlink())
    return {Path(os.path.normpath(path.parent / path.readlink())) for path in links}


def _remove_snapshot(folder: Path, revision: str, others: list[Path]) -> None:
    snapshot = folder / "snapshots" / revision
    own = _blobs(snapshot).difference(*map(_blobs, others))
    shutil.rmtree(snapshot)
    for path in folder.glob("refs/**/*"):
        with suppress(OSError, ValueError):
            if path.is_file() and path.read_text("ascii").strip() == revision:
                path.unlink()
    for blob in own:
        blob.unlink(missing_ok=True)
