"""One file over HTTP, received into a file that keeps what has arrived, whatever breaks. Blocking."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.domain.failures import StokerError
from app.domain.text import safe

if TYPE_CHECKING:
    import httpx2

_ANSWER_S = 10.0
_TRIES = 3
"""How often in a row nothing may come before the hub counts as not reachable."""
_PAUSE_S = 1.0
_LOOK_S = 0.2
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class _Broken(Exception):
    """The connection broke, or the server asks to come again."""


def receive(url: str, token: str | None, target: Path, size: int, note: Callable[[int], None]) -> None:
    """Let `target` grow until it has `size` bytes, from where it ends now, or the server has no more of it.

    `note(done)` is told how many bytes there are with each piece that comes, and may give up by raising. Raises
    OFFLINE, MODEL_GATED and MODEL_NOT_FOUND, and OSError for what the disk says.
    """
    tries = 0
    with target.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        while (begun := _end(file)) < size:
            note(begun)
            try:
                if not _part(url, token, file, size, note):
                    return
            except _Broken as error:
                tries = tries + 1 if _end(file) == begun else 1
                if tries >= _TRIES:
                    raise StokerError("OFFLINE", f"The hub cannot be reached: {error}.") from error
                _wait(note, begun)
        note(_end(file))


def _part(url: str, token: str | None, file: BinaryIO, size: int, note: Callable[[int], None]) -> bool:
    """Receive from the end of `file` on until the answer ends; whether that was more than nothing."""
    import httpx2

    begun = _end(file)
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    if begun:
        headers["Range"] = f"bytes={begun}-"
    try:
        # A redirect to another host is followed without the token: the client sees to that.
        with httpx2.stream("GET", url, headers=headers, timeout=_ANSWER_S, follow_redirects=True) as answer:
            _check(answer, token)
            if answer.status_code == 200 and begun:  # the whole, though a part was asked for
                file.truncate(0)
            for block in answer.iter_raw():
                file.write(block)
                note(done := _end(file))
                if done > size:
                    break
    except httpx2.HTTPError as error:
        raise _Broken(_reason(error)) from error
    return _end(file) != begun


def _check(answer: "httpx2.Response", token: str | None) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in _AGAIN:
        raise _Broken(f"it answers {status}")
    if status in (401, 403):
        shown = "to this token: its terms have to be accepted first" if token else "without a token"
        raise StokerError("MODEL_GATED", f"The hub does not give this model {shown}.")
    if status == 404:
        raise StokerError("MODEL_NOT_FOUND", "The hub has not got this file any more.")
    raise StokerError("OFFLINE", f"The hub answered {status} for a file.")


def _wait(note: Callable[[int], None], done: int) -> None:
    until = time.monotonic() + _PAUSE_S
    while time.monotonic() < until:
        note(done)
        time.sleep(_LOOK_S)


def _end(file: BinaryIO) -> int:
    """Where the file ends on the disk: what is on its way there gets there first."""
    return file.seek(0, os.SEEK_END)


def _reason(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return safe(text.splitlines()[0].rstrip("."), 200)
