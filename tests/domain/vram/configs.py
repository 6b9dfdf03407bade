"""The parts of real config.json files that decide a shape, and the number of parameters that was published."""

from typing import Any

Config = dict[str, Any]

LLAMA: Config = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}  # fmt: skip
_GRANITE = ["mamba"] * 5 + (["attention"] + ["mamba"] * 9) * 3 + ["attention"] + ["mamba"] * 4

PUBLISHED: dict[str, tuple[Config, int]] = {
    "gpt2": (
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
        124_439_808,
    ),
    "pythia-2.8b": (
        {"model_type": "gpt_neox", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32,
         "intermediate_size": 10240, "vocab_size": 50304, "tie_word_embeddings": False},
        2_775_208_960,
    ),
    "opt-125m": (
        {"model_type": "opt", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072,
         "vocab_size": 50272, "max_position_embeddings": 2048},
        125_239_296,
    ),
    "bloom-560m": (
        {"model_type": "bloom", "hidden_size": 1024, "n_layer": 24, "num_attention_heads": 16, "vocab_size": 250880},
        559_214_592,
    ),
    "mpt-7b": (
        {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432},
        6_649_286_656,
    ),
    "gemma-7b": (
        {"model_type": "gemma", "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
         "num_key_value_heads": 16, "head_dim": 256, "intermediate_size": 24576, "vocab_size": 256000},
        8_537_680_896,
    ),
    "starcoder2-3b": (
        {"model_type": "starcoder2", "hidden_size": 3072, "num_hidden_layers": 30, "num_attention_heads": 24,
         "num_key_value_heads": 2, "intermediate_size": 12288, "vocab_size": 49152},
        3_030_371_328,
    ),
    "dbrx": (
        {"model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100352,
         "attn_config": {"kv_n_heads": 8},
         "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}},
        131_596_523_520,
    ),
    "olmoe": (
        {"model_type": "olmoe", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16,
         "intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8, "vocab_size": 50304},
        6_919_161_856,
    ),
    "minicpm3 (latent attention)": (
        {"model_type": "minicpm3", "hidden_size": 2560, "num_hidden_layers": 62, "num_attention_heads": 40,
         "intermediate_size": 6400, "kv_lora_rank": 256, "q_lora_rank": 768, "qk_nope_head_dim": 64,
         "qk_rope_head_dim": 32, "v_head_dim": 64, "vocab_size": 73448},
        4_074_000_000,
    ),
    "kimi-linear": (
        {"model_type": "kimi_linear", "hidden_size": 2304, "num_hidden_layers": 27, "num_attention_heads": 32,
         "num_key_value_heads": 32, "head_dim": 72, "intermediate_size": 9216, "kv_lora_rank": 512,
         "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "q_lora_rank": None, "num_experts": 256,
         "moe_intermediate_size": 1024, "num_experts_per_token": 8, "num_shared_experts": 1,
         "first_k_dense_replace": 1, "vocab_size": 163840,
         "linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "num_heads": 32, "head_dim": 128,
                                "short_conv_kernel_size": 4}},
        49_122_681_728,
    ),
    "minimax-text-01": (
        {"model_type": "minimax_text_01", "hidden_size": 6144, "num_hidden_layers": 80, "num_attention_heads": 64,
         "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9216, "num_local_experts": 32,
         "num_experts_per_tok": 2, "vocab_size": 200064, "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10},
        456_089_655_296,
    ),
    "mamba-130m": (
        {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "state_size": 16, "conv_kernel": 4,
         "expand": 2, "intermediate_size": 1536, "time_step_rank": 48, "vocab_size": 50280},
        129_135_360,
    ),
    "bamba-9b": (
        {"model_type": "bamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14336, "attn_layer_indices": [9, 18, 27], "mamba_n_heads": 128,
         "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "vocab_size": 128256},
        9_780_000_000,
    ),
    "granite-4.0-h-tiny": (
        {"model_type": "granitemoehybrid", "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 12,
         "num_key_value_heads": 4, "intermediate_size": 512, "shared_intermediate_size": 1024, "num_local_experts": 64,
         "num_experts_per_tok": 6, "mamba_n_heads": 48, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1,
         "vocab_size": 100352, "tie_word_embeddings": True, "layer_types": _GRANITE},
        6_939_037_248,
    ),
    "falcon-h1-0.5b": (
        {"model_type": "falcon_h1", "hidden_size": 1024, "num_hidden_layers": 36, "num_attention_heads": 8,
         "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 2048, "mamba_d_ssm": 1536, "mamba_n_heads": 24,
         "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "vocab_size": 32784},
        521_411_104,
    ),
    "recurrentgemma-2b": (
        {"model_type": "recurrent_gemma", "hidden_size": 2560, "num_hidden_layers": 26, "num_attention_heads": 10,
         "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 15360, "lru_width": 2560,
         "attention_window_size": 2048, "block_types": ["recurrent", "recurrent", "attention"], "vocab_size": 256000},
        2_682_862_080,
    ),
    "lfm2-1.2b": (
        {"model_type": "lfm2", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 8192, "conv_L_cache": 3, "vocab_size": 65536,
         "layer_types": ["conv"] * 10 + ["full_attention"] * 6},
        1_170_340_608,
    ),
    "rwkv-4-169m": (
        {"model_type": "rwkv", "hidden_size": 768, "num_hidden_layers": 12, "attention_hidden_size": 768,
         "vocab_size": 50277},
        169_342_464,
    ),
    "bert-base": (
        {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512},
        109_482_240,
    ),
    "gemma-3n-e4b": (
        {"model_type": "gemma3n", "text_config": {
            "model_type": "gemma3n_text", "hidden_size": 2048, "num_hidden_layers": 35, "num_attention_heads": 8,
            "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": [16384] * 35, "vocab_size": 262400,
            "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256, "num_kv_shared_layers": 15,
            "sliding_window": 512, "laurel_rank": 64, "altup_num_inputs": 4, "max_position_embeddings": 32768}},
        6_870_000_000,
    ),
    "lfm2-350m (as it is published)": (
        {"model_type": "lfm2", "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
         "num_key_value_heads": 8, "block_ff_dim": 6656, "block_auto_adjust_ff_dim": True,
         "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256, "conv_L_cache": 3, "vocab_size": 65536,
         "full_attn_idxs": [2, 5, 8, 10, 12, 14]},
        354_483_968,
    ),
    "lfm2-8b-a1b": (
        {"model_type": "lfm2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 7168, "moe_intermediate_size": 1792, "num_dense_layers": 2,
         "num_experts": 32, "num_experts_per_tok": 4, "conv_L_cache": 3, "vocab_size": 65536,
         "layer_types": ["conv"] * 18 + ["full_attention"] * 6},
        8_340_000_000,
    ),
    "hunyuan-a13b": (
        {"model_type": "hunyuan_v1_moe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8, "attention_head_dim": 128, "intermediate_size": 3072,
         "moe_intermediate_size": [3072] * 32, "num_experts": 64, "num_shared_expert": [1] * 32, "moe_topk": [8] * 32,
         "vocab_size": 128167, "tie_word_embeddings": True},
        80_393_183_232,
    ),
    "exaone-4.0-32b": (
        {"model_type": "exaone4", "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40,
         "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 27392, "vocab_size": 102400,
         "sliding_window": 4096, "sliding_window_pattern": "LLLG", "max_position_embeddings": 131072,
         "tie_word_embeddings": False},
        32_003_200_000,
    ),
    "apertus-8b": (
        {"model_type": "apertus", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 21504, "vocab_size": 131072, "tie_word_embeddings": False},
        8_053_338_176,
    ),
    "longcat-flash": (
        {"model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64,
         "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
         "ffn_hidden_size": 12288, "expert_ffn_hidden_size": 2048, "n_routed_experts": 512, "zero_expert_num": 256,
         "moe_topk": 12, "vocab_size": 131072, "tie_word_embeddings": False},
        561_000_000_000,
    ),
    "mimo-v2-flash": (
        {"model_type": "mimo_v2_flash", "hidden_size": 4096, "num_hidden_layers": 48, "num_attention_heads": 64,
         "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "swa_num_key_value_heads": 8,
         "swa_head_dim": 192, "swa_v_head_dim": 128, "sliding_window": 128, "intermediate_size": 16384,
         "hybrid_layer_pattern": ([0] + [1] * 5) * 8, "moe_layer_freq": [0] + [1] * 47, "n_routed_experts": 256,
         "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "vocab_size": 152576, "tie_word_embeddings": False},
        309_000_000_000,
    ),
    "arctic": (
        {"model_type": "arctic", "hidden_size": 7168, "num_hidden_layers": 35, "num_attention_heads": 56,
         "num_key_value_heads": 8, "intermediate_size": 4864, "num_local_experts": 128, "num_experts_per_tok": 2,
         "vocab_size": 32000, "tie_word_embeddings": False},
        478_600_000_000,
    ),
    "gpt-oss-20b": (
        {"model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
         "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "num_local_experts": 32,
         "num_experts_per_tok": 4, "sliding_window": 128, "attention_bias": True, "max_position_embeddings": 131072,
         "vocab_size": 201088, "tie_word_embeddings": False},
        20_914_757_184,
    ),
    "minimax-m2": (
        {"model_type": "minimax_m2", "hidden_size": 3072, "num_hidden_layers": 62, "num_attention_heads": 48,
         "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 1536, "num_local_experts": 256,
         "num_experts_per_tok": 8, "attn_type_list": [1] * 62, "vocab_size": 200064, "tie_word_embeddings": False},
        228_700_000_000,
    ),
    "ernie-4.5-21b-a3b": (
        {"model_type": "ernie4_5_moe", "hidden_size": 2560, "num_hidden_layers": 28, "num_attention_heads": 20,
         "num_key_value_heads": 4, "intermediate_size": 12288, "moe_intermediate_size": 1536, "moe_num_experts": 64,
         "moe_k": 6, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "vocab_size": 103424,
         "tie_word_embeddings": True},
        21_825_437_888,
    ),
    "nemotron-nano-9b-v2": (
        {"model_type": "nemotron_h", "hidden_size": 4480, "num_hidden_layers": 56, "num_attention_heads": 40,
         "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 15680, "mamba_num_heads": 128,
         "hybrid_override_pattern": "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", "mamba_head_dim": 80,
         "ssm_state_size": 128, "n_groups": 8, "vocab_size": 131072, "tie_word_embeddings": False},
        8_888_000_000,
    ),
    "a vision-language model": (
        {"model_type": "llava", "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24},
         "text_config": {**LLAMA, "tie_word_embeddings": False}},
        8_030_261_248,
    ),
}  # fmt: skip
