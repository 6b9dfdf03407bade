import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.failures import StokerError
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import estimate
from app.domain.vram.fields import CONFIG_BYTES, parse_config
from app.domain.vram.setup import Setup
from app.domain.vram.weights import by_parameters
from tests.domain.vram.configs import LLAMA, PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name: str) -> None:
    config, parameters = PUBLISHED[name]
    assert read_shape(config).parameters == pytest.approx(parameters, rel=0.01)


def test_grouped_heads_cache_less_than_there_are_heads() -> None:
    layer = read_shape(LLAMA).layers[0]
    assert (layer.key, layer.value, layer.kv_heads) == (1024, 1024, 8)
    assert read_shape({**LLAMA, "num_key_value_heads": None}).layers[0].key == 4096


def test_a_head_may_be_wider_than_its_share_of_the_model() -> None:
    assert read_shape({**LLAMA, "head_dim": 256}).layers[0].key == 2048


def test_latent_attention_caches_one_vector() -> None:
    layer = read_shape(PUBLISHED["minicpm3 (latent attention)"][0]).layers[0]
    assert (layer.key, layer.value, layer.latent) == (288, 0, True)


@pytest.mark.parametrize(
    ("more", "slide"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 32),
        ({"model_type": "mistral", "sliding_window": 131072}, 0),
        ({"model_type": "mistral", "sliding_window": None}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28}, 4),
        ({"model_type": "gemma2", "sliding_window": 4096}, 16),
        ({"model_type": "gemma3_text", "sliding_window": 1024, "sliding_window_pattern": 6}, 27),
        ({"model_type": "llama4", "attention_chunk_size": 8192}, 24),
        ({"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"] * 16}, 16),
    ],
)
def test_windows_are_where_the_architecture_has_them(more: dict[str, Any], slide: int) -> None:
    assert sum(layer.window is not None for layer in read_shape({**LLAMA, **more}).layers) == slide


def test_layers_that_read_anothers_cache_have_none() -> None:
    shape = read_shape({**LLAMA, "num_kv_shared_layers": 12})
    assert sum(layer.key > 0 for layer in shape.layers) == 20


def test_heads_of_the_cache_may_differ_by_layer() -> None:
    shape = read_shape({**LLAMA, "num_hidden_layers": 3, "num_key_value_heads": [8, 0, 2]})
    assert [layer.key for layer in shape.layers] == [1024, 0, 256]


def test_a_searched_architecture_says_each_block() -> None:
    blocks = [
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.0}},
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}},
        {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True}},
    ]
    shape = read_shape({**LLAMA, "model_type": "nemotron-nas", "num_hidden_layers": 3, "block_configs": blocks})
    assert [layer.key for layer in shape.layers] == [1024, 0, 0]
    assert [layer.mlp > 0 for layer in shape.layers] == [True, True, False]


def test_states_do_not_grow_and_caches_do() -> None:
    shape = read_shape(PUBLISHED["bamba-9b"][0])
    assert sum(layer.state > 0 for layer in shape.layers) == 29
    assert sum(layer.key > 0 for layer in shape.layers) == 3
    short, long = (estimate(shape, by_parameters(shape), Setup("llama.cpp", n)).per_gpu[0] for n in (4096, 8192))
    assert short.state == long.state > 0
    assert long.kv == 2 * short.kv


def test_an_encoder_caches_nothing() -> None:
    shape = read_shape(PUBLISHED["bert-base"][0])
    for engine in ("llama.cpp", "vllm", "transformers"):
        assert estimate(shape, by_parameters(shape), Setup(engine, 512)).per_gpu[0].kv == 0


@pytest.mark.parametrize(
    ("config", "bytes_per_parameter"),
    [
        ({}, 2.0),
        ({"torch_dtype": "float32"}, 4.0),
        ({"quantization_config": {"quant_method": "fp8"}}, 1.13),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, 0.71),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, 0.75),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
                }
            },
            1.13,
        ),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, 0.75),
    ],
)
def test_weights_take_the_bits_that_the_configuration_says(config: dict[str, Any], bytes_per_parameter: float) -> None:
    shape = read_shape({**LLAMA, **config})
    assert by_parameters(shape).total / shape.parameters == pytest.approx(bytes_per_parameter, rel=0.02)


def test_what_a_quantisation_leaves_out_keeps_its_bits() -> None:
    config = {**LLAMA, "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["self_attn"]}}
    whole = by_parameters(read_shape({**LLAMA, "quantization_config": {"quant_method": "fp8"}})).total
    assert by_parameters(read_shape(config)).total > whole * 1.1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"model_type": "t5"}, "ARCH_UNSUPPORTED"),
        ({"is_encoder_decoder": True}, "ARCH_UNSUPPORTED"),
        ({"model_type": "whisper"}, "ARCH_UNSUPPORTED"),
        ({"model_type": "clip", "hidden_size": None, "text_config": LLAMA}, "ARCH_UNSUPPORTED"),
        ({"hidden_size": None}, "MODEL_LOAD_ERROR"),
        ({"hidden_size": "4096"}, "MODEL_LOAD_ERROR"),
        ({"hidden_size": -64}, "MODEL_LOAD_ERROR"),
        ({"hidden_size": True}, "MODEL_LOAD_ERROR"),
        ({"hidden_size": math.nan}, "MODEL_LOAD_ERROR"),
        ({"hidden_size": 10**40}, "MODEL_LOAD_ERROR"),
        ({"num_hidden_layers": 10**9}, "MODEL_LOAD_ERROR"),
        ({"num_hidden_layers": []}, "MODEL_LOAD_ERROR"),
        ({"num_attention_heads": 0}, "MODEL_LOAD_ERROR"),
        ({"num_key_value_heads": 64}, "MODEL_LOAD_ERROR"),
        ({"num_key_value_heads": [8]}, "MODEL_LOAD_ERROR"),
        ({"layer_types": ["full_attention"]}, "MODEL_LOAD_ERROR"),
        ({"layer_types": ["telepathy"] * 32}, "MODEL_LOAD_ERROR"),
        ({"layer_types": {"a": 1}}, "MODEL_LOAD_ERROR"),
        ({"quantization_config": "fp8"}, "MODEL_LOAD_ERROR"),
        ({"torch_dtype": ["float16"]}, "MODEL_LOAD_ERROR"),
        ({"block_configs": [1] * 32}, "MODEL_LOAD_ERROR"),
    ],
)
def test_what_cannot_be_is_refused_clearly(more: dict[str, Any], code: str) -> None:
    with pytest.raises(StokerError) as caught:
        read_shape({**LLAMA, **more})
    assert caught.value.code == code
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000, '{"a":' * 200 + "1" + "}" * 200,
     " " * (CONFIG_BYTES + 1), "\ud800", "1" * 5_000],
)  # fmt: skip
def test_text_that_is_no_configuration_is_refused_clearly(text: str) -> None:
    with pytest.raises(StokerError) as caught:
        parse_config(text)
    assert caught.value.code == "MODEL_LOAD_ERROR"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_KEYS = sorted({key for config, _ in PUBLISHED.values() for key in config} | {"moe_layer_freq", "moe_layers_enum"})


@given(st.sampled_from(sorted(PUBLISHED)), st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=4))
@settings(derandomize=True, max_examples=400, deadline=None)
def test_any_configuration_is_a_sane_shape_or_a_clear_error(name: str, more: dict[str, Any]) -> None:
    try:
        shape = read_shape({**PUBLISHED[name][0], **more})
        found = estimate(shape, by_parameters(shape), Setup("vllm", 4096))
    except StokerError as error:
        assert error.code in ("MODEL_LOAD_ERROR", "ARCH_UNSUPPORTED", "CONFIG_INVALID")
        return
    assert found.total > 0
    assert found.band[0] <= found.total <= found.band[1]


@given(_VALUES)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        assert isinstance(parse_config(json.dumps(value)), dict)
    except StokerError as error:
        assert error.code == "MODEL_LOAD_ERROR"


def test_windows_are_where_letters_or_numbers_say() -> None:
    letters = read_shape(PUBLISHED["exaone-4.0-32b"][0]).layers
    assert [layer.window for layer in letters[:5]] == [4_096, 4_096, 4_096, None, 4_096]
    numbers = read_shape(PUBLISHED["mimo-v2-flash"][0]).layers
    assert [(layer.key, layer.value, layer.window) for layer in numbers[:2]] == [
        (4 * 192, 4 * 128, None),
        (8 * 192, 8 * 128, 128),
    ]
    with pytest.raises(StokerError, match="letters L and G"):
        read_shape({**PUBLISHED["exaone-4.0-32b"][0], "sliding_window_pattern": "XYZ"})


def test_a_layer_of_two_halves_caches_twice() -> None:
    shape = read_shape(PUBLISHED["longcat-flash"][0])
    assert sum(layer.key for layer in shape.layers) == 2 * 28 * (512 + 64)
