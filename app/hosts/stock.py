"""Looking through what a host has in store: one script, run there over SSH or here, that asks Docker's own command and
the disk. Nothing is changed, nothing installed, and every line of the answer is hostile.

A daemon that is reached over TLS or through a context is asked from here; its disk nobody can see.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress

from app.domain.hosts import LOCAL
from app.domain.stock import Disk, Image, Kept, Stock
from app.domain.text import clean_text
from app.hosts.processes import LONGEST
from app.hosts.ssh import SshFailed
from app.hosts.way import way
from app.settings import Home

TIMEOUT_S = 60.0
"""For the whole of it: to count the bytes of large volumes takes the daemon long."""
MOST = 200
"""Images, and weights, that are listed of one host."""
_WEIGHTS, _CACHE = "io.stoker.weights=", "stoker-cache"
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
tab=$(printf '\t')
bounded() { if command -v timeout >/dev/null 2>&1; then timeout 20 "$@"; else "$@"; fi 2>/dev/null; }
room() {
  at=$2; while [ ! -d "$at" ]; do at=$(dirname "$at"); done
  df -Pk "$at" 2>/dev/null | sed -n 2p | while read -r _ total _ free _; do
    printf 'disk\t%s\t%s\t%s\n' "$1" "$total" "$free"
  done
}
weigh() {
  for path in "$2"/$3; do
    [ ! -e "$path" ] || printf '%s\t%s\t%s\n' "$1" "$(bounded du -skL "$path" | cut -f 1)" "${path##*/}"
  done | head -n 200
}
if [ "$disk" ]; then
  hub=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}
  room weights "$hub"
  weigh hub "$hub" 'models--*'
  [ ! "$models" ] || weigh own "$models" '*'
fi
if ! command -v docker >/dev/null 2>&1; then echo missing; exit 0; fi
said=$(docker info --format '{{.ServerVersion}}' 2>/dev/null) || said=$(docker info --format ok 2>&1; exit 1)
printf 'docker\t%s\t%s\n' "$?" "$(printf '%s' "$said" | tail -n 1 | tr '\t' ' ')"
ids=$(docker image ls -q --no-trunc 2>/dev/null | sort -u | head -n 200)
form="image$tab{{.Id}}$tab{{.Size}}$tab{{json .RepoTags}}$tab{{json .RepoDigests}}"
[ ! "$ids" ] || docker image inspect --format "$form" $ids 2>/dev/null
bounded docker system df -v --format "{{range .Volumes}}volume$tab{{.Name}}$tab{{.Size}}$tab{{.Labels}}
{{end}}"
root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null)
[ ! "$disk" ] || [ ! "$root" ] || room images "$root"
"""


def take_stock(home: Home, name: str, address: str) -> Stock:
    """What there is on a host. What could not be asked is left open; nothing is raised."""
    now, here, there = time.time_ns() // 1_000, name == LOCAL, way(home, address)
    sees_disk = here or there.ssh is not None
    values = {"disk": "1" if sees_disk else "", "models": str(home.models) if here else ""}
    try:
        return parse(there.run(SCRIPT, TIMEOUT_S, values), now)
    except SshFailed as error:
        return Stock(now, detail=clean_text(error.text, LONGEST))


def parse(text: str, now: int) -> Stock:
    """The answer of the script, at `now` (UTC microseconds). What makes no sense is left out."""
    rows = [line.split("\t") for line in text.split("\n")]
    status, version = next(((row[1], row[2]) for row in rows if row[0] == "docker" and len(row) == 3), ("", ""))
    said = "There is no `docker` on this host." if ["missing"] in rows else version
    return Stock(
        at=now,
        docker=_clean(version) if status == "0" and version else None,
        detail="" if status == "0" and version else _clean(said or "It did not say what it has."),
        images=tuple(image for row in rows if row[0] == "image" and (image := _image(row)) is not None)[:MOST],
        weights=tuple(kept for row in rows for kept in _kept(row))[: 2 * MOST],
        disks=tuple(disk for row in rows if row[0] == "disk" and (disk := _disk(row)) is not None)[:2],
    )


def _image(row: list[str]) -> Image | None:
    if len(row) != 5 or (size := _number(row[2])) is None:
        return None
    tags, digests = (_words(text) for text in row[3:])
    names = tuple(tags) or tuple(word.partition("@")[0] for word in digests)
    return Image(_clean(row[1]), size, names, next((d.partition("@")[2] for d in digests), ""))


def _kept(row: list[str]) -> Iterator[Kept]:
    """The weights that a line tells of: an entry of the hub's cache, one of our own, or a volume of ours."""
    if row[0] in ("hub", "own") and len(row) == 3:
        kilobytes = _number(row[1])
        name = row[2].removeprefix("models--").replace("--", "/") if row[0] == "hub" else row[2]
        yield Kept(_clean(name), "hub cache" if row[0] == "hub" else "stoker", kilobytes and kilobytes * 1024)
    elif row[0] == "volume" and len(row) == 4:
        label = next((word for word in row[3].split(",") if word.startswith(_WEIGHTS)), "")
        if label or row[1] == _CACHE:
            name = label.removeprefix(_WEIGHTS) or "what engines fetched"
            yield Kept(_clean(name), "volume", _bytes(row[2]))


def _disk(row: list[str]) -> Disk | None:
    total, free = (_number(text) for text in (*row[2:4], "", "")[:2])
    if row[1:2] not in (["weights"], ["images"]) or total is None or free is None:
        return None
    return Disk(row[1], total * 1024, free * 1024)


def _words(text: str) -> list[str]:
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, list):
            return [_clean(word) for word in found[:16] if isinstance(word, str)]
    return []


def _bytes(text: str) -> int | None:
    """A size as Docker prints it: `98.36MB`."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(B|kB|MB|GB|TB)", text)
    return None if match is None else round(float(match[1]) * _UNITS[match[2]])


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _clean(text: str) -> str:
    return clean_text(text, LONGEST)
