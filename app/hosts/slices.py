"""The slices (MIG devices) of another machine's GPUs, from what `nvidia-smi -L` and `nvidia-smi -q -x` say there.

The first names them and gives their UUIDs, the second their memory and who is inside. Both are read as text, a line or
a piece at a time: the host may answer with anything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.gpus import Gpu

MOST_SLICES = 16
"""Of one GPU; NVIDIA's largest have seven."""
TAGS = "gpu id|uuid|mig_device|index|gpu_instance_id|compute_instance_id|total|used|free|process_info|pid|used_memory"
"""Of the lines of the second, those that matter; `nvidia-smi` writes an element a line."""
_WHOLE = re.compile(r"GPU \d{1,4}:.{0,200}\(UUID: ([^()\s]{1,100})\)")
_SLICE = re.compile(r"\s{0,40}MIG (\S{1,60})\s{1,40}Device\s{1,8}(\d{1,3}):\s{1,8}\(UUID: ([^()\s]{1,140})\)")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice by its number on its GPU. `pids` hold memory in it: bytes by pid, None where the driver hides them."""

    number: int
    uuid: str
    name: str
    total: int | None = None
    used: int | None = None
    free: int | None = None
    pids: Mapping[int, int | None] | None = None

    def of(self, whole: Gpu) -> Gpu:
        """The slice as an entry behind that of its GPU."""
        return Gpu(
            index=whole.index,
            uuid=self.uuid,
            name=f"{whole.name} MIG {self.name}",
            vram_total=self.total,
            vram_used=self.used,
            vram_free=self.free,
            capability=whole.capability,
            slice=self.number,
        )


def parse_slices(listed: Iterable[str], told: str) -> dict[str, tuple[Slice, ...]]:
    """The slices by the UUID of their GPU: `listed` are lines of `-L`, `told` the text of `-q -x`."""
    named: dict[str, list[Slice]] = {}
    whole = ""
    for line in listed:
        if (gpu := _WHOLE.match(line)) is not None:
            whole = gpu[1]
        elif (part := _SLICE.match(line)) is not None and len(found := named.setdefault(whole, [])) < MOST_SLICES:
            found.append(Slice(int(part[2]), part[3], part[1]))
    for document in told.split("<gpu id=")[1:]:
        uuid = next((u for u in _every(document, "uuid") if not u.startswith("MIG-")), "")
        if uuid in named:
            named[uuid] = list(_filled(named[uuid], document))
    return {uuid: tuple(slices) for uuid, slices in named.items()}


def _filled(slices: Sequence[Slice], document: str) -> Iterator[Slice]:
    """The slices of one GPU with their memory and processes, from its part of the document."""
    head, *processes = document.split("<process_info>")
    inside: dict[tuple[int | None, int | None], dict[int, int | None]] = {}
    for text in processes:
        if (pid := _number(text, "pid")) is not None:
            inside.setdefault(_instance(text), {})[pid] = _mebibytes(text, "used_memory")
    known = {_number(text, "index"): text for text in head.split("<mig_device>")[1:]}
    for each in slices:
        if (about := known.get(each.number)) is None:
            yield each
        else:
            total, used, free = (_mebibytes(about, name) for name in ("total", "used", "free"))
            yield replace(each, total=total, used=used, free=free, pids=inside.get(_instance(about), {}))


def _instance(text: str) -> tuple[int | None, int | None]:
    return _number(text, "gpu_instance_id"), _number(text, "compute_instance_id")


def _every(text: str, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>([^<>]{{0,140}})</{tag}>", text)


def _number(text: str, tag: str) -> int | None:
    """The first whole number that is the content of `tag`, a unit behind it left out."""
    word = next(iter(_every(text, tag)), "").strip().partition(" ")[0]
    return int(word) if re.fullmatch(r"[0-9]{1,15}", word) else None


def _mebibytes(text: str, tag: str) -> int | None:
    number = _number(text, tag)
    return None if number is None else number * _MIB
