"""Bringing the files of a model of the hub into this machine's cache, in the layout of the hub's own library. Blocking.

The library's own download begins a file anew after a kill (it writes each attempt to a name of its own, and deletes
that when the attempt fails), and loses up to 10 MB at each cut. Here what has arrived is `blobs/<checksum>.incomplete`
until the file is whole and its checksum is right, and the next call goes on from there.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial as bind
from pathlib import Path

from app.domain.failures import StokerError
from app.domain.text import safe
from app.domain.variant import ModelFile, ModelRef
from app.launch.fetch import Cancelled, GivenUp, Progress
from app.launch.hub import Access, Listing, file_url
from app.launch.models import kept_files, size_of
from app.launch.transfer import receive
from app.processes import take_lock

SPARED = 268_435_456
"""Room that a download leaves on the disk, which the store and the logs may be on as well: 256 MiB."""
_LOOK_S = 0.2
_READ = 1 << 20
_SHA256 = 64
_LARGEST = 50_000_000_000
"""The most that the hub gives out by plain HTTP; larger files the library fetches by Xet, which goes on behind whoever
has given up, and begins anew after a kill."""


def download(
    model: ModelRef, access: Access, progress: Progress, cancelled: Cancelled, *, compare: bool = False
) -> Path | None:
    """Bring what is missing of `model` here; its path, or None if `cancelled()` became true on the way.

    `progress(done, total)` is told bytes. With `compare` the files that are here are compared with their checksums
    first, and those that are not right fetched again. What a call that was cut short has fetched, the next one goes on
    from. Raises OFFLINE, MODEL_GATED, MODEL_NOT_FOUND, DISK_FULL, and MODEL_LOAD_ERROR for what is not the file.
    """
    files = kept_files(model)
    total = sum(file.size for file, _ in files)
    try:
        for file, path in files:
            if size_of(path) != file.size or (compare and differs(file, path, cancelled)):
                path.unlink(missing_ok=True)
        here = {file.name: file.size for file, path in files if path.exists()}
        progress(sum(here.values()), total)
        _require_room(model, [file for file, _ in files if file.name not in here])
        for file, path in files:
            if file.name in here:
                continue
            _bring(model, file, path, access, bind(_moved, progress, sum(here.values()), total), cancelled)
            here[file.name] = file.size
    except GivenUp:
        return None
    except OSError as error:
        raise _explain(error, model) from error
    progress(total, total)
    return Path(model.path)


def _moved(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def differs(file: ModelFile, path: Path, cancelled: Cancelled = lambda: False) -> str:
    """How the file at `path` is not the one that the hub has, empty if it is. Raises GivenUp."""
    size = size_of(path)
    if size is None:
        return "it is missing"
    if size != file.size:
        return f"{size:,} bytes, not {file.size:,}"
    if file.tag is None or (found := _checksum(path, file, cancelled)) == file.tag:
        return ""
    return f"its checksum begins with {found[:12]}, not {file.tag[:12]}"


def _bring(
    model: ModelRef, file: ModelFile, path: Path, access: Access, moved: Callable[[int], None], cancelled: Cancelled
) -> None:
    """Fetch one file and put it in its place."""
    folder = _repository(model)
    _refuse_what_cannot_come(model, file, access)
    tag = _kept_as(model, file)
    blob = folder / "blobs" / tag
    partial = blob.with_name(f"{tag}.incomplete")
    for directory in (blob.parent, path.parent, folder / "refs"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(
        folder.parent / ".locks" / folder.name / f"{tag}.lock", cancelled, lambda: moved(size_of(partial) or 0)
    ):
        if size_of(blob) != file.size or differs(file, blob, cancelled):
            blob.unlink(missing_ok=True)
            _transfer(model, file, partial, access, moved, cancelled)
            partial.replace(blob)
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))


def _kept_as(model: ModelRef, file: ModelFile) -> str:
    """The name of a file among the blobs: its checksum, or one that says that the hub did not tell any."""
    return file.tag or f"unsigned-{hashlib.sha256(f'{model.revision} {file.name}'.encode()).hexdigest()[:40]}"


def _transfer(
    model: ModelRef, file: ModelFile, partial: Path, access: Access, moved: Callable[[int], None], cancelled: Cancelled
) -> None:
    """Make `partial` the whole file, with what is there of it if that proves to be right."""
    begun = size_of(partial) or 0
    _receive(model, file, partial, access, moved, cancelled)
    if begun and differs(file, partial, cancelled):
        # What lay there may have been of another file, or damaged by what cut it short.
        partial.unlink()
        _receive(model, file, partial, access, moved, cancelled)
    if wrong := differs(file, partial, cancelled):
        partial.unlink(missing_ok=True)
        raise StokerError("MODEL_LOAD_ERROR", f"What the hub sent as {safe(file.name, 100)} is damaged: {wrong}.")
    partial.chmod(0o600)


def _receive(
    model: ModelRef, file: ModelFile, partial: Path, access: Access, moved: Callable[[int], None], cancelled: Cancelled
) -> None:
    """Let `partial` grow to the size of the file. Whether it is the file is not seen to."""

    def note(done: int) -> None:
        moved(done)
        if cancelled():
            raise GivenUp
        if shutil.disk_usage(partial.parent).free < SPARED:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    url = file_url(Listing(model.repo, model.revision or "main", {}, access), file.name)
    receive(url, access.token, partial, file.size, note)


def _refuse_what_cannot_come(model: ModelRef, file: ModelFile, access: Access) -> None:
    name = safe(file.name, 100)
    by_hand = f"Fetch it with `hf download {model.repo} {name} --revision {model.revision}`, then start again."
    if access.offline:
        raise StokerError("OFFLINE", f"{name} is not here, and HF_HUB_OFFLINE forbids to fetch it.")
    if file.size > _LARGEST:
        raise StokerError("OFFLINE", f"{name} is larger than what the hub gives out by plain HTTP: 50 GB.", by_hand)


@contextmanager
def _alone(path: Path, cancelled: Cancelled, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock that the hub's library takes for a file: whoever else wants it waits, and finds it here."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while (lock := take_lock(path, _LOOK_S)) is None:
        waiting()
        if cancelled():
            raise GivenUp
    try:
        yield
    finally:
        os.close(lock)


def _repository(model: ModelRef) -> Path:
    """The folder of the cache that the model was planned for: `blobs` by checksum, `snapshots` with links to them."""
    return Path(model.folder).parents[1]


def _require_room(model: ModelRef, missing: list[ModelFile]) -> None:
    folder = _repository(model)
    blobs = folder / "blobs"
    names = [_kept_as(model, file) for file in missing]
    begun = sum(size_of(blobs / f"{name}.incomplete") or size_of(blobs / name) or 0 for name in names)
    need = sum(file.size for file in missing) - begun
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    if missing and free < need + SPARED:
        text = f"{need:,} bytes are to be fetched of {safe(model.name, 100)}, {free:,} are free in {folder.parent}."
        raise StokerError("DISK_FULL", text)


def _checksum(path: Path, file: ModelFile, cancelled: Cancelled) -> str:
    """The SHA-256 of a large file; of any other what git calls it."""
    large = len(file.tag or "") == _SHA256
    digest = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as data:
        while block := data.read(_READ):
            if cancelled():
                raise GivenUp
            digest.update(block)
    return digest.hexdigest()


def _explain(error: OSError, model: ModelRef) -> StokerError:
    name = safe(model.name, 100)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StokerError("DISK_FULL", f"There was no room left for {name}; what has arrived is kept.")
    text = f"{name} cannot be written: {safe(str(error), 200)}."
    return StokerError("CONFIG_INVALID", text, "Check the rights of the cache: `HF_HOME`.")
