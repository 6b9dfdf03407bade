"""Which fields of a request the edge lets through to an engine, endpoint by endpoint.

An allow-list, because engines read more than OpenAI's API: a chat template, a cache slot or a transfer address in a
body would hand one caller the engine of all. Listed are OpenAI's own fields and the sampling parameters that vLLM,
SGLang and llama.cpp share.
"""

_COMMON = {"model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}

_GENERATION = {
    *_COMMON, "frequency_penalty", "logit_bias", "max_tokens", "n", "presence_penalty", "seed", "stop", "stream",
    "stream_options", "temperature", "top_p",
}  # fmt: skip

_SAMPLING = {
    "best_of", "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n", "dry_sequence_breakers",
    "dynatemp_exponent", "dynatemp_range", "ignore_eos", "include_stop_str_in_output", "length_penalty", "min_p",
    "min_tokens", "mirostat", "mirostat_eta", "mirostat_tau", "repeat_last_n", "repeat_penalty", "repetition_penalty",
    "skip_special_tokens", "spaces_between_special_tokens", "stop_token_ids", "top_k", "top_n_sigma", "typical_p",
    "xtc_probability", "xtc_threshold",
}  # fmt: skip

_CHAT = {
    "audio", "chat_template_kwargs", "function_call", "functions", "logprobs", "max_completion_tokens", "messages",
    "modalities", "parallel_tool_calls", "prediction", "reasoning_effort", "response_format", "tool_choice", "tools",
    "top_logprobs", "verbosity", "web_search_options",
}  # fmt: skip

ALLOWED: dict[str, frozenset[str]] = {
    "/v1/chat/completions": frozenset(_GENERATION | _SAMPLING | _CHAT),
    "/v1/completions": frozenset(_GENERATION | _SAMPLING | {"echo", "logprobs", "prompt", "response_format", "suffix"}),
    "/v1/embeddings": frozenset(_COMMON | {"dimensions", "encoding_format", "input"}),
}
"""By path. The paths are also the whole list of what the edge forwards."""

TEMPLATE_SWITCHES = frozenset({"enable_thinking", "thinking"})
"""What `chat_template_kwargs` may hold: switches that chat templates offer to callers. Anything else in it reaches the
template engine's own arguments (CVE-2025-62426)."""

NEEDED = {"/v1/chat/completions": "messages", "/v1/completions": "prompt", "/v1/embeddings": "input"}
"""The field without which a request of that path means nothing."""

CHOICES_LIMIT = 128
"""The most answers one request may ask for (`n`, `best_of`): what OpenAI's API allows."""
