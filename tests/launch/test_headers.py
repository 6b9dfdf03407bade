import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.failures import StokerError
from app.domain.vram.estimate import estimate
from app.domain.vram.gguf import read_gguf
from app.domain.vram.setup import Setup
from app.domain.vram.weights import from_tensors
from app.launch.gguf import read_header
from app.launch.models import BUNDLED_SLUG, locate
from app.launch.ranges import LocalFile
from app.launch.safetensors import read_index, read_tensors
from app.settings import Home
from tests.launch.weights_files import LLAMA, gguf, safetensors, small_gguf, text


class Bytes:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.name = "a file"
        self.data = data
        self.size = len(data) if size is None else size
        self.taken = 0

    def read(self, start: int, count: int) -> bytes:
        self.taken += count
        return self.data[start : start + count].ljust(count, b"\0")


def test_a_gguf_file_says_what_it_holds() -> None:
    header = read_header(Bytes(small_gguf()))
    assert header.metadata["llama.block_count"] == 2
    assert header.metadata["tokenizer.ggml.tokens"] == 96
    assert sum(tensor.size for tensor in header.tensors) == 2 * (
        64 * 96 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    )
    shape = read_gguf(header.metadata, header.tensors)
    assert (shape.width, shape.heads, shape.vocabulary, shape.tied, shape.context) == (64, 4, 96, True, 512)
    assert [(layer.key, layer.value, layer.kv_heads) for layer in shape.layers] == [(32, 32, 2)] * 2


@pytest.mark.parametrize("tied", [True, False])
def test_weights_of_a_gguf_file_are_exact(tied: bool) -> None:
    data = small_gguf(tied=tied)
    header = read_header(Bytes(data))
    shape = read_gguf(header.metadata, header.tensors)
    weights = from_tensors(shape, header.tensors)
    assert weights.basis == "headers"
    assert weights.total == sum(tensor.size for tensor in header.tensors)
    found = estimate(shape, weights, Setup("llama.cpp", 256))
    # The embedding stays with the host, and what is tied is needed beside it.
    assert found.per_gpu[0].weights == weights.total - (0 if tied else weights.embedding)
    assert found.host == weights.embedding


def test_the_bundled_model_is_read_in_a_moment_and_a_few_parts(tmp_path: Path) -> None:
    path = locate(Home(tmp_path, tmp_path))
    if path is None:
        pytest.skip(f"{BUNDLED_SLUG} is not on this machine")
    with LocalFile(path) as file:
        header = read_header(file)
    shape = read_gguf(header.metadata, header.tensors)
    assert shape.parameters == pytest.approx(134_515_008, rel=0.001)
    assert len(shape.layers) == 30
    assert shape.layers[0].key == 192


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"llama.attention.head_count_kv": (9, (4, [2, 0]))}, [32, 0]),
        ({"llama.attention.key_length": (4, 32)}, [64, 64]),
    ],
)
def test_what_a_layer_caches_is_read_layer_by_layer(more: dict[str, Any], expected: list[int]) -> None:
    header = read_header(Bytes(small_gguf({**LLAMA, **more})))
    assert [layer.key for layer in read_gguf(header.metadata, header.tensors).layers] == expected


def test_windows_of_gguf_files() -> None:
    entries = {key.replace("llama.", "gemma3."): entry for key, entry in LLAMA.items()}
    entries |= {"general.architecture": (8, "gemma3"), "gemma3.attention.sliding_window": (4, 128)}
    header = read_header(Bytes(small_gguf(entries)))
    assert [layer.window for layer in read_gguf(header.metadata, header.tensors).layers] == [128, 128]
    entries["gemma3.attention.sliding_window_pattern"] = (9, (7, [True, False]))
    header = read_header(Bytes(small_gguf(entries)))
    assert [layer.window for layer in read_gguf(header.metadata, header.tensors).layers] == [128, None]


def huge(kind: int, count: int) -> bytes:
    """A file whose only entry is a list that claims `count` entries of type `kind`."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<IIQ", 9, kind, count)


def tensor(shape: tuple[int, ...], kind: int = 0, at: int = 0) -> bytes:
    return gguf({}, [("t", shape, kind, at)]) + bytes(4_096)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GGUF", b"junk" * 100, gguf({}, [], version=1), gguf({}, [], version=2**31),
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
        huge(4, 2**60), huge(8, 2**60), huge(9, 4) + huge(9, 4), huge(99, 1), huge(0, 2**24),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62) + b"x",
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<IQ", 8, 2**62),
        tensor((2**40, 2**40)), tensor((2**63,)), tensor((33,), kind=2), tensor((32,), kind=77),
        tensor((1 << 20,)), tensor((32,), at=2**40), gguf({}, [("t", (1,) * 9, 0, 0)]),
        gguf({"general.alignment": (4, 0)}, []), gguf({"general.alignment": (8, "a")}, []),
    ],
)  # fmt: skip
def test_hostile_gguf_files_end_in_a_clear_error(data: bytes) -> None:
    with pytest.raises(StokerError) as caught:
        read_header(Bytes(data))
    assert caught.value.code == "MODEL_LOAD_ERROR"


@pytest.mark.parametrize(
    "more",
    [
        {"llama.block_count": (4, 0)}, {"llama.block_count": (4, 2**31)}, {"llama.embedding_length": (5, -64)},
        {"llama.embedding_length": (8, "wide")}, {"llama.attention.head_count": (9, (4, []))},
        {"llama.context_length": (6, float("nan"))}, {"general.architecture": (4, 7)},
        {"general.architecture": (8, "clip")}, {"general.architecture": (8, "\x1b[31mclip")},
    ],
)  # fmt: skip
def test_hostile_metadata_ends_in_a_clear_error(more: dict[str, Any]) -> None:
    header = read_header(Bytes(small_gguf({**LLAMA, **more})))
    with pytest.raises(StokerError) as caught:
        read_gguf(header.metadata, header.tensors)
    assert caught.value.code in ("MODEL_LOAD_ERROR", "ARCH_UNSUPPORTED")
    assert "\x1b" not in caught.value.message


def refused_or_read(read: Callable[[], Any]) -> None:
    try:
        read()
    except StokerError as error:
        assert error.code in ("MODEL_LOAD_ERROR", "ARCH_UNSUPPORTED")


_SMALL = small_gguf()
_PARTS = safetensors({"model.embed_tokens.weight": (96, 64)})


@given(st.lists(st.tuples(st.integers(0, 1_600), st.binary(min_size=1, max_size=9)), max_size=4), st.integers(0, 4_000))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_any_change_to_a_gguf_file_is_read_or_refused(changes: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(_SMALL[: max(4, len(_SMALL) - length)])
    for at, content in changes:
        data[at : at + len(content)] = content

    def read() -> None:
        header = read_header(Bytes(bytes(data)))
        shape = read_gguf(header.metadata, header.tensors)
        estimate(shape, from_tensors(shape, header.tensors), Setup("llama.cpp", 256))

    refused_or_read(read)


def test_a_header_never_reads_more_than_it_is() -> None:
    source = Bytes(small_gguf(), size=2**50)
    read_header(source)
    assert source.taken <= 1 << 20


def test_a_safetensors_file_says_what_it_holds() -> None:
    found = read_tensors(Bytes(safetensors({"a": (3, 5), "b": ()})))
    assert [(tensor.name, tensor.elements, tensor.size) for tensor in found] == [("a", 15, 30), ("b", 1, 2)]


def header(table: Any, data: int = 64) -> bytes:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + bytes(data)


def entry(shape: Any = (4,), span: Any = (0, 8), kind: Any = "BF16") -> dict[str, Any]:
    return {"a": {"dtype": kind, "shape": shape, "data_offsets": span}}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"1234567", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 50_000_000) + b"{}", header(b"[1]"),
        header(b"{" * 50_000), header(b'{"a":'), header(b"\xff\xfe{}"), header({"a": 1}), header({"a": {}}),
        header(entry(kind="BF15")), header(entry(kind=[1])), header(entry(shape=[-4])), header(entry(shape="4")),
        header(entry(shape=[2**61] * 2)), header(entry(shape=[True] * 4)), header(entry(span=[0, 9])),
        header(entry(span=[8, 0])), header(entry(span=[60, 68])), header(entry(span=[0])),
        header(entry(span=[0.0, 8.0])),
        header({**entry(), "b": {"dtype": "BF16", "shape": [4], "data_offsets": [4, 12]}}),
    ],
)  # fmt: skip
def test_hostile_safetensors_files_end_in_a_clear_error(data: bytes) -> None:
    with pytest.raises(StokerError) as caught:
        read_tensors(Bytes(data))
    assert caught.value.code == "MODEL_LOAD_ERROR"


@given(st.lists(st.tuples(st.integers(0, 140), st.binary(min_size=1, max_size=9)), max_size=4), st.integers(0, 400))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_any_change_to_a_safetensors_file_is_read_or_refused(changes: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(_PARTS[: len(_PARTS) - length])
    for at, content in changes:
        data[at : at + len(content)] = content
    refused_or_read(lambda: read_tensors(Bytes(bytes(data))))


@pytest.mark.parametrize(
    "text_of",
    ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}',
     '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": "/etc/passwd"}}', '{"weight_map": {"a": "b\\u0000"}}'],
)  # fmt: skip
def test_an_index_that_names_no_files_beside_it_is_refused(text_of: str) -> None:
    with pytest.raises(StokerError) as caught:
        read_index(text_of.encode())
    assert caught.value.code == "MODEL_LOAD_ERROR"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "nothing"):
        with pytest.raises(StokerError) as caught:
            LocalFile(path)
        assert caught.value.code == "MODEL_NOT_FOUND"
