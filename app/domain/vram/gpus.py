"""GPUs by name: memory as their driver reports it, and multiprocessors, which decide what a CUDA context takes."""

import re
from dataclasses import dataclass

from app.domain.failures import StokerError
from app.domain.text import safe

GIB = 2**30
MIB = 2**20
UNIFIED_KEPT = 8 * GIB
"""Where GPU and system share their memory, this much stays with the system."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: bytes in all, bytes free (None: all of them), and whether the system shares them.

    `server` says that vLLM takes it for a large one. `units` are multiprocessors. `host` is a processor without GPU.
    """

    name: str
    total: int
    units: int = 0
    free: int | None = None
    unified: bool = False
    server: bool = False
    host: bool = False

    @property
    def room(self) -> int:
        """Bytes that an engine may take."""
        left = self.total if self.free is None else min(self.free, self.total)
        return max(0, min(left, self.total - UNIFIED_KEPT)) if self.unified else left


# Name: GiB as CUDA reports them (below what is printed on the box), and multiprocessors. Figures with two places were
# printed by engines; the others are the nominal size less the 1.5 % that drivers keep.
_KNOWN = {
    "GTX 1660 SUPER": (5.79, 22), "RTX 2060": (5.79, 30), "RTX 2060 12GB": (11.76, 34), "RTX 2080 TI": (10.75, 68),
    "RTX 3060": (11.76, 28), "RTX 3060 TI": (7.78, 38), "RTX 3070": (7.78, 46), "RTX 3080": (9.78, 68),
    "RTX 3090": (23.58, 82), "RTX 3090 TI": (23.58, 84), "RTX 4060": (7.78, 24), "RTX 4060 TI": (7.78, 34),
    "RTX 4060 TI 16GB": (15.6, 34), "RTX 4070": (11.6, 46), "RTX 4070 TI": (11.6, 60), "RTX 4080": (15.6, 76),
    "RTX 4090": (23.53, 128), "RTX 5060 TI": (15.47, 36), "RTX 5070": (11.5, 48), "RTX 5080": (15.5, 84),
    "RTX 5090": (31.36, 170), "RTX A4000": (15.6, 48), "RTX A5000": (23.6, 64), "RTX A6000": (47.5, 84),
    "RTX 6000 ADA": (47.4, 142), "RTX PRO 6000": (94.97, 188), "T4": (14.74, 40), "V100": (15.77, 80),
    "V100 32GB": (31.73, 80), "P40": (23.9, 30), "L4": (22.03, 58), "L40": (44.4, 142), "L40S": (44.4, 142),
    "A10": (22.07, 72), "A10G": (22.07, 80), "A16": (14.6, 10), "A30": (23.6, 56), "A40": (44.4, 84),
    "A100": (39.39, 108), "A100 40GB": (39.39, 108), "A100 80GB": (79.15, 108), "H100": (79.18, 132),
    "H100 80GB": (79.18, 132), "H100 NVL": (93.1, 132), "GH200": (94.5, 132), "H200": (139.8, 132),
    "B200": (178.4, 148), "B300": (268.0, 148), "MI210": (63.98, 104), "MI250": (63.98, 104), "MI300X": (191.98, 304),
    "MI325X": (255.98, 304), "GB10": (119.7, 48),
}  # fmt: skip
_SHARED = re.compile(r"(?:APPLE )?(M[1-9](?: PRO| MAX| ULTRA)?|STRIX HALO|RYZEN AI MAX(?: 395)?) (\d{1,4})GB")
"""Processors that share their memory with the system, by their name and how much there is."""
_UNIFIED = frozenset({"GB10"})


def gpu_named(name: str) -> Gpu:
    """The GPU that people call `name`. Raises CONFIG_INVALID, naming those known."""
    word = re.sub(r"\b(NVIDIA|GEFORCE|TESLA|AMD|INSTINCT|QUADRO|GPU)\b", " ", name.upper().replace("-", " "))
    word = re.sub(r"\s*\b(\d+)\s*(GB|GIB|G)\b", r" \1GB", word)
    word = " ".join(re.sub(r"\b(SXM\d?|PCIE|HBM\d?E?|GENERATION|GDDR\d)\b", " ", word).split())
    if shared := _SHARED.fullmatch(word):
        return Gpu(shared[1], int(shared[2]) * GIB, unified=True)
    tight = {key.replace(" ", ""): key for key in _KNOWN}
    found = tight.get(word.replace(" ", "")) or tight.get("RTX" + word.replace(" ", ""))
    if found is None:  # a size that adds nothing: RTX 3090 24GB
        found = tight.get(re.sub(r" \d+GB$", "", word).replace(" ", ""))
        size = re.search(r" (\d+)GB$", word)
        if found and size and not 0.9 < _KNOWN[found][0] / int(size[1]) < 1.02:
            found = None
    if found is None:
        known = ", ".join(sorted(_KNOWN))
        raise StokerError("CONFIG_INVALID", f"`{safe(name, 60)}` is no GPU that is known.", f"Use --vram, or: {known}.")
    gib, units = _KNOWN[found]
    return Gpu(found, int(gib * GIB), units, unified=found in _UNIFIED, server=gib >= 70 and "A100" not in found)


def larger_than(gpu: Gpu) -> list[Gpu]:
    """GPUs of the next classes by memory: at least a quarter more than `gpu` has, the smallest first."""
    found = {known.total: known for name in _KNOWN if (known := gpu_named(name)).total >= 1.25 * gpu.total}
    return [found[total] for total in sorted(found)]


def known_name(name: str) -> str:
    """What people call the GPU that a driver calls `name`; that itself where it is no GPU that is known."""
    try:
        return gpu_named(name).name
    except StokerError:
        return name


def gpu_of(total: int) -> Gpu:
    """A GPU of which only the memory is known. Its multiprocessors are those of the common cards of that size."""
    gib = total / GIB
    units = next(units for size, units in ((7, 24), (14, 34), (20, 60), (28, 105), (1e9, 132)) if gib < size)
    return Gpu(f"{gib:.1f} GiB", total, units, server=gib >= 70)
