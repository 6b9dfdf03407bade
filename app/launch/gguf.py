"""The header of a GGUF file, read with bounds: every length is checked against the file before anything is read.

The format is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little endian.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

from app.domain.failures import StokerError
from app.domain.text import clean_text, safe
from app.domain.vram.weights import Tensor
from app.launch.ranges import Reader, Source

_MOST_ENTRIES = 65_536
_MOST_TEXT = 1 << 24
_MOST_NAME = 1 << 16
_KEPT_TEXT = 1_024
_KEPT_ITEMS = 2_048
_MOST_ITEMS = 1 << 22
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9

# Type of a tensor: numbers in a block, and its bytes (ggml.c, type_traits).
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a file says of itself: its metadata (long texts are cut, long lists are their length), and its tensors."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]


def read_header(source: Source) -> GgufHeader:
    """The header of `source`. Raises MODEL_LOAD_ERROR for anything that is no sound GGUF file."""
    reader = Reader(source)
    if reader.take(4) != b"GGUF":
        _refuse(source, "it does not begin as a GGUF file")
    version = _number(reader, "<I")
    if version not in (2, 3):
        _refuse(source, f"version {version} of the format is not known")
    tensors, entries = _number(reader, "<Q"), _number(reader, "<Q")
    if tensors > _MOST_ENTRIES or entries > _MOST_ENTRIES:
        _refuse(source, f"it claims {tensors:,} tensors and {entries:,} entries")
    metadata: dict[str, Any] = {}
    for _ in range(entries):
        key = _text(reader, _MOST_NAME)
        metadata[key] = _value(reader, _number(reader, "<I"))
    found = [_tensor(reader) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 65_536:
        _refuse(source, "its alignment is no alignment")
    begin = -(-reader.at // alignment) * alignment
    for tensor, offset in found:
        if begin + offset + tensor.size > source.size:
            _refuse(source, f"`{safe(tensor.name, 80)}` ends behind the end of the file")
    return GgufHeader(metadata, tuple(tensor for tensor, _ in found))


def _tensor(reader: Reader) -> tuple[Tensor, int]:
    """A tensor with the place of its data behind the header."""
    name = _text(reader, _MOST_NAME)
    dimensions = _number(reader, "<I")
    if dimensions > 8:
        _refuse(reader.source, f"`{safe(name, 80)}` has {dimensions} dimensions")
    sizes = [_number(reader, "<Q") for _ in range(dimensions)]
    kind, offset = _number(reader, "<I"), _number(reader, "<Q")
    elements = math.prod(sizes)
    if kind not in _BLOCKS:
        _refuse(reader.source, f"`{safe(name, 80)}` is of the unknown type {kind}")
    block, size = _BLOCKS[kind]
    if elements > 2**62 or (sizes and sizes[0] % block):
        _refuse(reader.source, f"`{safe(name, 80)}` has an impossible size")
    return Tensor(name, elements, elements // block * size), offset


def _value(reader: Reader, kind: int) -> Any:
    if kind == _TEXT:
        return _text(reader, _MOST_TEXT)
    if kind == _ARRAY:
        return _array(reader)
    return _scalar(reader, kind)


def _array(reader: Reader) -> list[Any] | int:
    """Its entries, or only how many they are if that are more than anybody asks for."""
    kind, count = _number(reader, "<I"), _number(reader, "<Q")
    left = reader.source.size - reader.at
    least = 8 if kind == _TEXT else struct.calcsize(_SCALARS[kind]) if kind in _SCALARS else 0
    if not least:
        _refuse(reader.source, f"a list holds entries of the type {kind}")
    if count > _MOST_ITEMS or count * least > left:
        _refuse(reader.source, f"a list claims {count:,} entries")
    if kind == _TEXT:
        for _ in range(count):
            reader.skip(_length(reader, _MOST_TEXT))
        return int(count)
    if count > _KEPT_ITEMS:
        reader.skip(count * least)
        return int(count)
    return [_scalar(reader, kind) for _ in range(count)]


def _scalar(reader: Reader, kind: int) -> int | float | bool:
    if kind not in _SCALARS:
        _refuse(reader.source, f"a value is of the unknown type {kind}")
    value: int | float | bool = struct.unpack(_SCALARS[kind], reader.take(struct.calcsize(_SCALARS[kind])))[0]
    return value


def _text(reader: Reader, most: int) -> str:
    data = reader.take(_length(reader, most))
    return clean_text(data[: 4 * _KEPT_TEXT].decode("utf-8", "replace"), _KEPT_TEXT)


def _length(reader: Reader, most: int) -> int:
    length = _number(reader, "<Q")
    if length > most:
        _refuse(reader.source, f"a text claims {length:,} bytes")
    return length


def _number(reader: Reader, form: str) -> int:
    value: int = struct.unpack(form, reader.take(struct.calcsize(form)))[0]
    return value


def _refuse(source: Source, what: str) -> NoReturn:
    raise StokerError("MODEL_LOAD_ERROR", f"{safe(source.name, 80)} is damaged, or no GGUF file: {what}.")
