"""What the model hub says of a model, without fetching its weights. Blocking; `HF_ENDPOINT` and `HF_TOKEN` count."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.failures import StokerError
from app.domain.text import safe
from app.launch.ranges import RemoteFile

if TYPE_CHECKING:
    import httpx2

_ANSWER_S = 10.0
_HERE = "Connect, or give a file or a folder of this machine."


@dataclass(frozen=True, slots=True)
class Listing:
    """A model on the hub at one commit: its files with their sizes (None where the hub does not say)."""

    repo: str
    commit: str
    files: dict[str, int | None]


@contextmanager
def hub_client() -> Iterator["httpx2.Client"]:
    """A client for files of the hub."""
    import httpx2

    with httpx2.Client(timeout=_ANSWER_S, limits=httpx2.Limits(max_connections=8)) as client:
        yield client


def listing(repo: str, revision: str | None) -> Listing:
    """The files of `repo` at `revision`. Raises MODEL_NOT_FOUND, MODEL_GATED or OFFLINE."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    with _explained(repo):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=_ANSWER_S)
    files = {entry.rfilename: entry.size for entry in info.siblings or ()}
    return Listing(repo, info.sha or revision or "main", files)


def remote_file(client: "httpx2.Client", found: Listing, name: str) -> RemoteFile:
    """File `name` of a listing, to be read in parts."""
    from huggingface_hub import get_token, hf_hub_url

    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return RemoteFile(client, hf_hub_url(found.repo, name, revision=found.commit), name, headers)


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """The folder that the cache of this machine has for `repo`; None if it has none."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "model.safetensors.index.json", "model.safetensors"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Raise what the hub's library raises as failures of ours."""
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
        raise StokerError("MODEL_GATED", f"The hub gives {name} only to those it knows.") from error
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
        raise StokerError("OFFLINE", f"The hub answered {status} for {name}.", _HERE) from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = safe((str(error).strip() or type(error).__name__).splitlines()[0], 200)
        raise StokerError("OFFLINE", f"The hub cannot be reached: {reason.rstrip('.')}.", _HERE) from error
