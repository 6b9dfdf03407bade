"""Sizes: what is offered on machines of every size, and that what is offered fits."""

from dataclasses import replace

from app.domain.sizes import GIVING_UP, LEAST_CONTEXT, USES, Size, Weighed, sizes
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.gpus import GIB, MIB, Gpu, gpu_named
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Setup
from app.domain.vram.weights import by_parameters

EIGHT_B = read_shape({
    "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "max_position_embeddings": 40960, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
})  # fmt: skip
LLAMA_TYPES, VLLM_TYPES = ("f16", "q8_0", "q4_0"), ("auto", "fp8")


def weighed(form: str, path: str | None = None) -> Weighed:
    return Weighed(EIGHT_B, by_parameters(EIGHT_B, quantisation(form)), path)


def llama(*gpus: Gpu, context: int = 4096) -> Setup:
    return Setup("llama.cpp", context, 4, gpus, kv_type="f16")


def named(found: tuple[Size, ...]) -> dict[str, Size]:
    return {size.name: size for size in found}


def test_where_there_is_plenty_there_are_three_and_all_fit() -> None:
    found = sizes(weighed("q4_k_m"), llama(gpu_named("RTX 4090")), LLAMA_TYPES)
    assert [size.name for size in found] == list(USES)
    assert {size.verdict for size in found[:2]} == {"fits"}
    small, medium, large = found
    assert (small.context, small.seqs) == (4096, 1)
    assert (medium.context, medium.seqs, medium.kv_type) == (4096, 4, "f16")
    assert medium.context < large.context <= 40960
    assert small.need < medium.need < large.need <= large.room


def test_nothing_is_larger_than_the_model_s_own_context() -> None:
    found = sizes(weighed("q4_k_m"), llama(gpu_named("H200"), context=100_000), LLAMA_TYPES)
    assert [(size.name, size.context) for size in found] == [("small", 4096), ("medium", 40960)]


def test_where_the_usual_does_not_fit_each_offer_gives_up_one_thing_and_fits() -> None:
    gpu = Gpu("a card", 17 * GIB, 34)
    found = named(sizes(weighed("bf16"), llama(gpu, context=8192), LLAMA_TYPES, [weighed("q4_k_m", "/m/q4.gguf")]))
    assert found["medium"].verdict == "no"
    offers = [found[name] for name in GIVING_UP if name in found]
    assert {"smaller-weights", "cpu-offload"} <= {size.name for size in offers}
    assert all(size.verdict != "no" and size.need <= size.room for size in offers)
    assert found["smaller-weights"].model == "/m/q4.gguf"
    assert int(str(found["cpu-offload"].flags["n-gpu-layers"])) < 37


def test_less_context_is_as_much_as_fits() -> None:
    model, setup = weighed("q4_k_m"), llama(Gpu("a card", 8 * GIB, 34), context=16384)
    offer = named(sizes(model, setup, LLAMA_TYPES))["less-context"]
    assert LEAST_CONTEXT <= offer.context < 16384
    assert offer.verdict == "fits"
    more = estimate(model.shape, model.weights, replace(setup, context=offer.context + 1024))
    assert more.band[1] > setup.gpus[0].room


def test_fewer_at_once_and_a_smaller_cache_are_offered_where_they_are_enough() -> None:
    found = named(sizes(weighed("q4_k_m"), llama(Gpu("a card", 8 * GIB, 34), context=8192), LLAMA_TYPES))
    assert 1 <= found["fewer-at-once"].seqs < 4
    assert found["smaller-cache"].kv_type == "q8_0"


def test_vllm_is_offered_what_vllm_has() -> None:
    setup = Setup("vllm", 32768, 64, (gpu_named("RTX 4090"),))
    found = named(sizes(weighed("bf16"), setup, VLLM_TYPES))
    assert found["medium"].verdict == "no"
    assert "cpu-offload" not in found
    assert {size.kv_type for size in found.values()} <= set(VLLM_TYPES)


def test_host_memory_is_a_place_as_well_and_nothing_is_moved_to_it() -> None:
    found = named(sizes(weighed("q4_k_m"), llama(Gpu("this machine", 6 * GIB, host=True)), LLAMA_TYPES))
    assert "cpu-offload" not in found
    assert found["medium"].room == 6 * GIB


def test_where_nothing_fits_only_the_uses_are_said_and_that_they_do_not_fit() -> None:
    found = sizes(weighed("bf16"), llama(Gpu("this machine", 64 * MIB, host=True)), LLAMA_TYPES)
    assert [(size.name, size.verdict) for size in found] == [("small", "no"), ("medium", "no")]


def test_nowhere_there_is_nothing_to_say() -> None:
    assert sizes(weighed("bf16"), llama(), LLAMA_TYPES) == ()
