"""What an engine prints of the memory that it has taken, read from the first part of its output."""

import re
from collections import defaultdict
from dataclasses import dataclass

from app.domain.text import safe
from app.domain.vram.gpus import GIB, MIB

_MOST = 1 << 50
"""Bytes that no GPU has: a figure beyond them is no measurement."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes that an engine took of one GPU, or of the host's memory; None is what nobody said.

    `room` is the whole cache of an engine that fills what it claims, `kv` that of one that takes what it needs.
    `total` is what the driver counted for its processes, or on a host the most that was resident.
    """

    weights: int | None = None
    kv: int | None = None
    state: int | None = None
    activation: int | None = None
    room: int | None = None
    total: int | None = None

    @property
    def beside(self) -> int | None:
        """What it took outside all that it named; None unless all of that is known."""
        cache = self.kv if self.room is None else self.room
        if self.total is None or self.weights is None or cache is None or self.activation is None:
            return None
        return max(0, self.total - self.weights - cache - (self.state or 0) - self.activation)


@dataclass(frozen=True, slots=True)
class Printed:
    """What an output says: the engine's version, empty if it names none, and what each GPU holds, in their order.

    `host` is what llama.cpp keeps in host memory; `gpus` has one entry for all of them where ranks are not told apart.
    """

    version: str = ""
    gpus: tuple[Taken, ...] = ()
    host: Taken | None = None


def printed(engine: str, text: str) -> Printed:
    """What `text`, the output of `engine` from its beginning, says of its memory."""
    match engine:
        case "llama.cpp":
            return _llamacpp(text)
        case "vllm":
            return Printed(_version(_VLLM_VERSION, text), _alike(_vllm(text)))
        case "sglang":
            return Printed("", _alike(_sglang(text)))
    return Printed()


_BUFFER = re.compile(r"\b([A-Za-z]+)(\d*)(_\w+)? (model|KV|RS|compute) buffer size += +([\d.]+) MiB")
_PARTS = {"model": "weights", "KV": "kv", "RS": "state", "compute": "activation"}
_BUILD = re.compile(r"(?:\bbuild_info: b|\bbuild: )([1-9]\d{0,9})\b")


def _llamacpp(text: str) -> Printed:
    """Buffers by device: `CPU`, `CPU_Mapped` and `CUDA_Host` are host memory, `CUDA0`, `ROCm1`, `Vulkan0` GPUs."""
    sizes: dict[int | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, number, suffix, part, mib in _BUFFER.findall(text):
        gpu = int(number) if number and not suffix and name != "CPU" else None
        sizes[gpu][_PARTS[part]] += _bytes(mib, MIB)
    host = sizes.pop(None, None)
    gpus = tuple(Taken(**sizes[number]) for number in sorted(number for number in sizes if number is not None))
    return Printed(_version(_BUILD, text), gpus, None if host is None else Taken(**host))


_VLLM_VERSION = re.compile(r"vLLM API server version ([\w.+]{1,40})|\bLLM engine \(v([\w.+]{1,40})\)")
_LOADED = re.compile(r"[Mm]odel (?:loading|weights) took ([\d.]+) Gi?B|model weights take ([\d.]+)GiB")
_ACTIVATION = re.compile(r"PyTorch activation peak memory takes ([\d.]+)GiB")
_ROOM = re.compile(r"Available KV cache memory: ([\d.]+) GiB|reserved for KV Cache is ([\d.]+)GiB")


def _vllm(text: str) -> Taken:
    """Of ranks that print the same lines, the one that holds most, and the room of the one that has least."""
    return Taken(weights=_largest(_LOADED, text), activation=_largest(_ACTIVATION, text), room=_least(_ROOM, text))


_SGLANG_LOADED = re.compile(r"Load weight end\..{0,400}?\bmem usage=([\d.]+) GB")
_SGLANG_ROOM = re.compile(r"KV Cache is allocated\..{0,80}?K size: ([\d.]+) GB, V size: ([\d.]+) GB")


def _sglang(text: str) -> Taken:
    rooms = [_bytes(key, GIB) + _bytes(value, GIB) for key, value in _SGLANG_ROOM.findall(text)]
    return Taken(weights=_largest(_SGLANG_LOADED, text), room=min(rooms, default=None))


def _alike(taken: Taken) -> tuple[Taken, ...]:
    return () if taken == Taken() else (taken,)


def _largest(pattern: re.Pattern[str], text: str) -> int | None:
    return max(_sizes(pattern, text), default=None)


def _least(pattern: re.Pattern[str], text: str) -> int | None:
    return min(_sizes(pattern, text), default=None)


def _sizes(pattern: re.Pattern[str], text: str) -> list[int]:
    return [_bytes(next(filter(None, found.groups()), "0"), GIB) for found in pattern.finditer(text)]


def _bytes(number: str, unit: int) -> int:
    try:
        return min(_MOST, int(float(number) * unit))
    except (ValueError, OverflowError):
        return 0


def _version(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else safe(next(filter(None, found.groups()), ""), 40)
