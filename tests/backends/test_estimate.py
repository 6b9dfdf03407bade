"""The estimate beside the engine's own buffers, as it prints them while it loads the bundled model."""

import re

import pytest

from app.domain.vram.estimate import estimate
from app.domain.vram.gguf import read_gguf
from app.domain.vram.gpus import MIB, Gpu
from app.domain.vram.setup import Setup
from app.domain.vram.weights import from_tensors
from app.launch.gguf import read_header
from app.launch.ranges import LocalFile
from tests.contract.harness import ProcessHarness, bundled_model, listening, run, until

_BUFFER = re.compile(r"CPU(?:_Mapped)? (model|KV|compute) buffer size = +([0-9.]+) MiB")


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
@pytest.mark.parametrize(("context", "slots"), [(512, 1), (2048, 1), (1024, 4), (16384, 1)])
def test_it_is_within_five_percent_of_every_buffer(
    local: ProcessHarness, context: int, slots: int, kv_type: str
) -> None:
    model = bundled_model()
    total = ("--ctx-size", str(context * slots), "--parallel", str(slots))
    types = ("--cache-type-k", kv_type, "--cache-type-v", kv_type)
    run(local.backend.create(local.engine("a1", *total, *types, "--no-warmup"), "a1"))
    until(lambda: listening(local.backend, "a1"))
    printed = {name: float(size) * MIB for name, size in _BUFFER.findall(local.output("a1"))}
    with LocalFile(model) as file:
        header = read_header(file)
    shape = read_gguf(header.metadata, header.tensors)
    host = Gpu("this machine", 1 << 40, host=True)
    setup = Setup("llama.cpp", context, slots, gpus=(host,), kv_type=kv_type)
    part = estimate(shape, from_tensors(shape, header.tensors), setup).per_gpu[0]
    assert part.weights == pytest.approx(printed["model"], rel=0.05)
    assert part.kv == pytest.approx(printed["KV"], rel=0.05)
    assert part.activation == pytest.approx(printed["compute"], rel=0.05)
    assert part.total - part.overhead == pytest.approx(sum(printed.values()), rel=0.05)
