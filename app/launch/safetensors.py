"""The header of a safetensors file and the index of several, read with bounds.

The format is https://github.com/huggingface/safetensors#format: a length of 8 bytes, that many of JSON, then the data.
"""

import json
import math
import re
from itertools import pairwise
from typing import Any, NoReturn

from app.domain.failures import StokerError
from app.domain.repository import INDEX
from app.domain.text import clean_text, safe
from app.domain.vram.weights import Tensor
from app.launch.ranges import Reader, Source

INDEX_BYTES = 1 << 26
_HEADER_BYTES = 100_000_000
"""The format's own limit."""
_MOST_TENSORS = 1_000_000
_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32,
    "U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64,
}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


def read_tensors(source: Source) -> list[Tensor]:
    """The tensors of one file. Raises MODEL_LOAD_ERROR for anything that is no sound safetensors file."""
    reader = Reader(source)
    length = int.from_bytes(reader.take(8), "little")
    if not 2 <= length <= min(_HEADER_BYTES, source.size - 8):
        _refuse(source.name, f"its header claims {length:,} bytes")
    table = _object(source.name, reader.take(length))
    room = source.size - 8 - length
    found = [_tensor(source.name, name, entry, room) for name, entry in table.items() if name != "__metadata__"]
    spans = sorted((begin, end) for _, begin, end in found)
    if any(end > begin for (_, end), (begin, _) in pairwise(spans)):
        _refuse(source.name, "its tensors overlap")
    return [tensor for tensor, _, _ in found]


def read_index(text: bytes, name: str = INDEX) -> list[str]:
    """The files that an index names, each once. Raises MODEL_LOAD_ERROR; a name that leaves the folder is refused."""
    table = _object(name, text).get("weight_map")
    if not isinstance(table, dict) or not table or len(table) > _MOST_TENSORS:
        _refuse(name, "it has no `weight_map`")
    files = sorted({file for file in table.values() if isinstance(file, str)})
    if len(files) > 10_000 or not all(_PLAIN.fullmatch(file) for file in files) or len(files) == 0:
        _refuse(name, "it names what is no file beside it")
    return files


def _tensor(file: str, name: str, entry: Any, room: int) -> tuple[Tensor, int, int]:
    """A tensor with the begin and end of its data; the three must agree."""
    if not isinstance(entry, dict):
        _refuse(file, f"`{safe(name, 80)}` is no table")
    shape, span, kind = entry.get("shape"), entry.get("data_offsets"), entry.get("dtype")
    if not isinstance(kind, str) or kind not in _BITS:
        _refuse(file, f"`{safe(name, 80)}` is of an unknown type")
    sizes, place = _whole(shape), _whole(span)
    if sizes is None or len(sizes) > 16 or place is None or len(place) != 2:
        _refuse(file, f"`{safe(name, 80)}` has no sound shape or place")
    elements, (begin, end) = math.prod(sizes), place
    if elements > 2**62 or not begin <= end <= room or (elements * _BITS[kind] + 7) // 8 != end - begin:
        _refuse(file, f"the data of `{safe(name, 80)}` are not where or what they should be")
    # Numbers of 4 bits are packed by twos into bytes, and counted as what they hold.
    packed = 2 if kind == "U8" and name.endswith(("_blocks", "weight_packed", "qweight")) else 1
    return Tensor(clean_text(name, 1_024), elements * packed, end - begin), begin, end


def _whole(value: Any) -> list[int] | None:
    sound = isinstance(value, list) and all(type(item) is int and 0 <= item < 2**62 for item in value)
    return value if sound else None


def _object(file: str, text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is no JSON") from error
    if not isinstance(table, dict) or len(table) > _MOST_TENSORS:
        raise _damaged(file, "its header is no table")
    return table


def _refuse(file: str, what: str) -> NoReturn:
    raise _damaged(file, what)


def _damaged(file: str, what: str) -> StokerError:
    return StokerError("MODEL_LOAD_ERROR", f"{safe(file, 80)} is damaged, or no safetensors file: {what}.")
