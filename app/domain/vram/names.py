"""The names under which configurations say the same thing, and the architectures that are unlike the common one."""

HIDDEN = ("hidden_size", "n_embd", "d_model", "model_dim", "dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "num_attn_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads", "num_query_groups", "kv_n_heads")
HEAD_DIM = ("head_dim", "kv_channels", "attention_head_dim", "d_kv")
INNER = (
    "intermediate_size",
    "ffn_hidden_size",
    "n_inner",
    "ffn_dim",
    "d_ff",
    "inner_hidden_size",
    "ff_intermediate_size",
    "hidden_dim",
)
VOCABULARY = ("vocab_size", "padded_vocab_size", "n_vocab")
CONTEXT = (
    "max_position_embeddings", "n_positions", "max_position", "seq_length", "max_sequence_length", "max_seq_len",
    "model_max_length", "n_ctx",
)  # fmt: skip
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
EXPERTS_USED = (
    "num_experts_per_tok",
    "experts_per_token",
    "num_experts_per_token",
    "moe_top_k",
    "top_k_experts",
    "moe_topk",
    "moe_k",
)
EXPERT_INNER = ("moe_intermediate_size", "expert_intermediate_size", "expert_ffn_hidden_size", "ffn_hidden_size")
FIRST_DENSE = ("first_k_dense_replace", "first_dense_layers", "moe_layer_start_index", "num_dense_layers")
SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")

NESTED = ("text_config", "llm_config", "language_config", "language_model_config", "thinker_config", "talker_config")
"""Where a model of several kinds of input keeps its language model."""

UNGATED = frozenset({
    "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "codegen", "opt", "bloom", "mpt", "falcon", "phi",
    "starcoder2", "nemotron", "nemotron_h", "bert", "roberta", "xlm_roberta", "distilbert", "mpnet", "electra",
    "persimmon", "fuyu", "rwkv", "xglm", "biogpt", "arcee", "apertus",
})  # fmt: skip
"""Feed-forwards of two matrices, not three: nothing multiplies the activation."""

TIED = frozenset({
    "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gpt2",
    "gpt_bigcode", "gpt_neo", "opt", "bloom", "mpt", "cohere", "cohere2", "command_r", "starcoder2", "mamba",
    "falcon_mamba", "bert", "roberta", "xlm_roberta", "distilbert", "mpnet", "electra", "recurrent_gemma", "granite",
    "granitemoe", "minicpm", "minicpm3", "openelm", "lfm2", "lfm2_moe", "xglm",
})  # fmt: skip
"""Architectures whose head is the embedding unless their configuration says otherwise."""

ENCODERS = frozenset({
    "bert", "roberta", "xlm_roberta", "distilbert", "mpnet", "electra", "camembert", "nomic_bert", "modernbert",
    "new", "gte", "deberta", "deberta_v2", "albert", "jina_bert",
})  # fmt: skip
"""They read a whole text at once: nothing is cached."""

REFUSED = {
    "t5": "an encoder and a decoder", "mt5": "an encoder and a decoder", "umt5": "an encoder and a decoder",
    "bart": "an encoder and a decoder", "mbart": "an encoder and a decoder", "pegasus": "an encoder and a decoder",
    "marian": "an encoder and a decoder", "m2m_100": "an encoder and a decoder", "whisper": "for speech",
    "wav2vec2": "for speech", "clip": "for images", "siglip": "for images", "vit": "for images",
}  # fmt: skip
"""What is no language model of the kind that is served here."""

FAMILIES = {
    "llama2": "llama", "llama3": "llama", "smollm": "llama", "command_r": "cohere", "nemotron_nas": "deci",
    "glm_moe": "glm4_moe", "granite_hybrid": "granitemoehybrid", "qwen3.5_hybrid": "qwen3_5",
    "deepseek_mla": "deepseek_v3",
}  # fmt: skip
"""Names of families for the types that they are."""
