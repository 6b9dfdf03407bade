"""What the model hub says of a model, without fetching its weights; without a hub, what this machine's cache has of it.

Blocking. `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME` and `HF_HUB_OFFLINE` count, those of `[server.env]` before the shell's.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.failures import StokerError
from app.domain.repository import parse_name, sound_name
from app.domain.text import clean_text, safe
from app.launch.models import hub_cache
from app.launch.options import Options
from app.launch.ranges import RemoteFile
from app.settings import Home, load_settings

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.hf_api import RepoSibling

_ANSWER_S = 10.0
_REMEMBERED_S = 30.0
"""How long an answer of the hub is believed: a form asks at every key."""
_MOST_REMEMBERED = 64
_HERE = "Connect, or give a file or a folder of this machine."
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIVEN = ("HF_TOKEN", "HF_ENDPOINT")
"""What a deployment may have of its own; where the cache is holds for all."""
_YES = ("1", "on", "yes", "true")


@dataclass(frozen=True, slots=True)
class Access:
    """How the hub is reached: its `endpoint` (None is the public one), a `token`, and where what it gives is kept."""

    cache: Path
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    offline: bool = False

    def folder(self, repo: str) -> Path:
        """Where the cache keeps a repository: `blobs` by their checksums, `snapshots` by commit with links to them."""
        return self.cache / f"models--{repo.replace('/', '--')}"


@dataclass(frozen=True, slots=True)
class Listing:
    """A model on the hub at one commit: its files with their sizes (None where the hub does not say), and their `tags`.

    `closed` says that not everybody may have it. One that is `cached` was read from this machine, not from the hub.
    """

    repo: str
    commit: str
    files: Mapping[str, int | None]
    access: Access
    tags: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
    licence: str = ""
    cached: bool = False


def access_of(home: Home, given: Mapping[str, str] | None = None) -> Access:
    """How a server of `home` reaches the hub for a deployment that was `given` variables of its own."""
    env = {**os.environ, **load_settings(home).server.env}
    env |= {name: text for name, text in (given or {}).items() if name in _GIVEN}
    return Access(
        cache=hub_cache(env),
        endpoint=env.get("HF_ENDPOINT", "").rstrip("/") or None,
        token=env.get("HF_TOKEN", "").strip() or _logged_in(),
        offline=any(env.get(name, "").lower() in _YES for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
    )


def of_shell(options: Options, home: Home) -> Options:
    """`options` with what this shell says of the hub, if it is one of its models that is asked for: servers have an
    environment of their own, and what is given with a launch is kept for it apart."""
    if parse_name(options.model or "") is None or Path(options.model or "").exists():
        return options
    known = {*load_settings(home).server.env, *options.env}
    said = {name: os.environ[name] for name in _GIVEN if os.environ.get(name) and name not in known}
    return replace(options, env={**options.env, **said}) if said else options


def _logged_in() -> str | None:
    """The token of `hf auth login`."""
    from huggingface_hub import get_token

    return get_token()


@contextmanager
def hub_client() -> Iterator["httpx2.Client"]:
    """A client for files of the hub."""
    import httpx2

    with httpx2.Client(timeout=_ANSWER_S, limits=httpx2.Limits(max_connections=8)) as client:
        yield client


def listing(repo: str, revision: str | None, access: Access) -> Listing:
    """The files of `repo` at `revision`. Raises MODEL_NOT_FOUND, MODEL_GATED or OFFLINE."""
    now = time.monotonic()
    key = repo, revision, access
    known = _remembered.get(key)
    if known is not None and now - known[0] < _REMEMBERED_S:
        return known[1]
    found = _listing(repo, revision, access)
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[key] = now, found
    return found


_remembered: dict[tuple[str, str | None, Access], tuple[float, Listing]] = {}


def _listing(repo: str, revision: str | None, access: Access) -> Listing:
    _require_network(repo, access)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    with explained(repo):
        api = HfApi(endpoint=access.endpoint, token=access.token or False)
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=_ANSWER_S)
    if _COMMIT.fullmatch(info.sha or "") is None:
        raise StokerError("OFFLINE", f"The hub does not say which commit of {safe(repo, 100)} it means.", _HERE)
    entries = [entry for entry in info.siblings or () if sound_name(entry.rfilename)]
    licence = getattr(info.card_data, "license", None)
    return Listing(
        repo,
        info.sha or "",
        {entry.rfilename: entry.size for entry in entries},
        access,
        {entry.rfilename: tag for entry in entries if (tag := _tag(entry)) is not None},
        closed=bool(info.gated or info.private),
        licence=clean_text(licence, 40) if isinstance(licence, str) else "",
    )


def _tag(entry: "RepoSibling") -> str | None:
    """What the file is called in the cache: its SHA-256, or git's SHA-1 of a small one."""
    tag = entry.lfs.sha256 if entry.lfs is not None else entry.blob_id
    return tag if isinstance(tag, str) and _TAG.fullmatch(tag) else None


def cached_listing(repo: str, revision: str | None, access: Access) -> Listing | None:
    """What the cache of this machine has of `repo` at `revision`; None if that is nothing."""
    folder = access.folder(repo)
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (folder / "refs" / commit).read_text("ascii").strip()
        except (OSError, ValueError):
            return None
    snapshot = folder / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    paths = {str(path.relative_to(snapshot)): path for path in sorted(snapshot.rglob("*")) if path.is_file()}
    tags = {name: path.readlink().name for name, path in paths.items() if path.is_symlink()}
    tags = {name: tag for name, tag in tags.items() if _TAG.fullmatch(tag)}
    return Listing(repo, commit, {n: p.stat().st_size for n, p in paths.items()}, access, tags, cached=True)


def check_open(found: Listing, name: str) -> None:
    """Raise MODEL_GATED unless the hub gives out file `name` of a listing to the token that there is."""
    from huggingface_hub import get_hf_file_metadata

    with explained(found.repo, bool(found.access.token)):
        get_hf_file_metadata(file_url(found, name), token=found.access.token or False, timeout=_ANSWER_S)


def file_url(found: Listing, name: str) -> str:
    """Where file `name` of a listing is given out."""
    from huggingface_hub import constants, hf_hub_url

    url = hf_hub_url(found.repo, name, revision=found.commit)
    # The library replaces an endpoint of its own only, and knows it from the time it was imported.
    return url if found.access.endpoint is None else found.access.endpoint + url.removeprefix(constants.ENDPOINT)


def remote_file(client: "httpx2.Client", found: Listing, name: str) -> RemoteFile:
    """File `name` of a listing, to be read in parts."""
    token = found.access.token
    return RemoteFile(client, file_url(found, name), name, {"Authorization": f"Bearer {token}"} if token else {})


def cached_folder(repo: str, revision: str | None, access: Access) -> Path | None:
    """The folder that the cache of this machine has for `repo`; None if it has none."""
    found = cached_listing(repo, revision, access)
    return None if found is None else access.folder(repo) / "snapshots" / found.commit


def _require_network(repo: str, access: Access) -> None:
    if access.offline:
        text = f"{safe(repo, 100)} is not here, and HF_HUB_OFFLINE forbids to look on the hub."
        raise StokerError("OFFLINE", text, _HERE)


@contextmanager
def explained(repo: str, token: bool = False) -> Iterator[None]:
    """Raise what the hub's library raises as failures of ours. `token` says that one was shown."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = safe(repo, 100)
    try:
        yield
    except GatedRepoError as error:
        text = f"The hub gives {name} only to those whom it knows, and was shown no token."
        if token:
            text = f"The hub does not give {name} to this token: its terms have to be accepted first."
        raise StokerError("MODEL_GATED", text) from error
    except RepositoryNotFoundError as error:
        text = f"The hub has no model `{name}`, or does not show it."
        raise StokerError("MODEL_NOT_FOUND", text, "Check its name; for a private one set HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{name}` has no such revision.", "Leave `--revision` out.") from error
    except HFValidationError as error:
        raise StokerError("MODEL_NOT_FOUND", f"`{name}` is no name of a model.") from error
    except OfflineModeIsEnabled as error:
        text = f"{name} is not here, and HF_HUB_OFFLINE forbids to look on the hub."
        raise StokerError("OFFLINE", text, _HERE) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise StokerError("MODEL_GATED", f"The hub does not show {name} to this token.") from error
        if status == 404:
            raise StokerError("MODEL_NOT_FOUND", f"The hub has not got this file of {name} any more.") from error
        raise StokerError("OFFLINE", f"The hub answered {status} for {name}.", _HERE) from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = safe((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise StokerError("OFFLINE", f"The hub cannot be reached: {reason.rstrip('.')}.", _HERE) from error
