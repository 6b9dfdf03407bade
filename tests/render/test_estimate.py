from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB, gpu_named
from app.domain.vram.setup import Component, Setup
from app.domain.vram.weights import by_parameters
from app.render.cells import plain
from app.render.estimate import bar, estimate_lines, memory_lines
from app.render.states import to_ascii
from tests.domain.vram.configs import LLAMA


class Nothing:
    """Nothing was solved backwards."""

    context = sequences = quantisation = layers = larger = None


def test_a_bar_shows_shares_in_their_order() -> None:
    part = Component(weights=10, kv=4, activation=2, overhead=2)
    assert bar(part, 24) == "██████████░░░░▒▒▓▓······"
    assert bar(part, 1).count("·") == 0
    assert len(bar(part, 1)) == 24


def test_a_bar_of_little_shows_what_is_most_of_it() -> None:
    assert bar(Component(weights=1, kv=8, activation=1), 1_000).startswith("░·")


def test_alike_gpus_are_shown_once_and_others_each() -> None:
    shape = read_shape(LLAMA)
    gpus = (gpu_named("RTX 3090"),)

    def shown(setup: Setup) -> str:
        found = estimate(shape, by_parameters(shape), setup)
        return "\n".join(plain(line) for line in estimate_lines("m", setup, found, Nothing()))

    assert "2 GPUs" in shown(Setup("vllm", 4_096, gpus=gpus, tensor=2))
    uneven = shown(Setup("llama.cpp", 4_096, gpus=gpus, pipeline=2))
    assert "GPU 0" in uneven
    assert "GPU 1" in uneven
    assert "stay in host memory" in uneven


def test_memory_of_this_machine_is_a_bar_with_its_parts() -> None:
    shape = read_shape(LLAMA)
    found = estimate(shape, by_parameters(shape), Setup("llama.cpp", 4_096))
    first, second = (plain(line) for line in memory_lines(found, 32 * GIB))
    assert first.startswith("MEMORY   ██")
    assert "of 32.0 GiB" in first
    assert "weights" in second
    assert to_ascii(first).isascii()
