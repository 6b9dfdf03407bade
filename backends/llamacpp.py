"""`python -I -m backends.llamacpp --model FILE …`: llama.cpp's server in a process of its own, through xllamacpp.

Flags are spelled as llama-server spells them; the table below is the subset that is mapped. What differs from
llama-server: the port is free to choose unless one is given (`--port` 0, the default), the base URL is written to the
file named by STOKER_ENDPOINT_FILE once the model is loaded, the API key comes from LLAMA_API_KEY, and nothing is fitted
to the memory behind the operator's back.

Exit status: 0 after SIGTERM or SIGINT, 1 for a wrong flag or whatever the engine could not do, which its own last
lines say. A SIGTERM while the model loads ends the process by that signal: loading cannot be interrupted otherwise.
"""

import difflib
import json
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

VERBOSITY = 4
"""The level at which buffer sizes are printed, and not yet every token."""
CACHE_RAM_MIB = 256
"""Host memory for the prompts of idle slots. llama.cpp's own 8192 would surprise a machine that is shared."""
THREADS = 1
"""ggml's threads spin while they wait, so more than one has to be asked for."""

_KV_TYPES = "f32 f16 bf16 q8_0 q4_0 q4_1 iq4_nl q5_0 q5_1"


class BadFlag(Exception):
    """The command line cannot be used; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How a flag reaches xllamacpp's parameters. `parse` is None for a switch, which takes no value."""

    apply: Callable[[Any, Any], None]
    parse: Callable[[str], Any] | None = None


def _set(params: Any, path: str, value: Any) -> None:
    parent, _, name = path.rpartition(".")
    setattr(attrgetter(parent)(params) if parent else params, name, value)


def _within(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.removeprefix("-").isdecimal() and text.isascii() and least <= int(text) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def _whole(path: str, least: int = 0, most: int = 2**31 - 1) -> Flag:
    return Flag(lambda params, value: _set(params, path, value), _within(least, most))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a number")
    return value


def _real(path: str) -> Flag:
    return Flag(lambda params, value: _set(params, path, value), _number)


def _text(path: str) -> Flag:
    return Flag(lambda params, value: _set(params, path, value), str)


def _switch(path: str, value: bool = True) -> Flag:
    return Flag(lambda params, _: _set(params, path, value))


def _choice(path: str, prefix: str, words: str, **renamed: str) -> Flag:
    """One of `words`, which is the parameter's enum member called `prefix` and the word, or what it is renamed to."""

    def parse(text: str) -> str:
        if text not in words.split():
            raise ValueError(f"one of {words}")
        return prefix + renamed.get(text, text).upper().replace("-", "_")

    def apply(params: Any, member: str) -> None:
        _set(params, path, type(attrgetter(path)(params))[member])

    return Flag(apply, parse)


def _load_mode(**becomes: str) -> Flag:
    """`--mlock` and `--no-mmap`, one setting in llama.cpp by now: what its value becomes, from what it was."""

    def apply(params: Any, _: object) -> None:
        before = str(params.load_mode.name).removeprefix("LLAMA_LOAD_MODE_")
        params.load_mode = type(params.load_mode)[f"LLAMA_LOAD_MODE_{becomes.get(before, before)}"]

    return Flag(apply)


def _threads(params: Any, count: int) -> None:
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = count


def _alias(params: Any, name: str) -> None:
    params.model_alias = {name}


def _listen(params: Any, address: str) -> None:
    params.hostnames = [address]


def _place(params: Any, rules: str) -> None:
    """Add rules (`pattern=buffer`, with commas between) for where tensors go."""
    params.tensor_buft_overrides = ",".join(filter(None, (params.tensor_buft_overrides, rules)))


def _placement(text: str) -> str:
    if not all("=" in rule for rule in text.split(",")):
        raise ValueError("PATTERN=BUFFER")
    return text


def _experts_on_cpu(params: Any, layers: int) -> None:
    """The experts of the first `layers` layers stay in host memory. The pattern is llama.cpp's own (common/arg.cpp)."""
    _place(params, ",".join(rf"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU" for layer in range(layers)))


def _split(params: Any, shares: list[float]) -> None:
    params.tensor_split = shares + [0.0] * (len(params.tensor_split) - len(shares))


def _template_arguments(text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ValueError("a JSON object")
    return {name: json.dumps(value) for name, value in values.items()}


def _set_template_arguments(params: Any, values: dict[str, str]) -> None:
    params.default_template_kwargs = values


FLAGS: dict[str, Flag] = {
    "model": _text("model.path"),
    "alias": Flag(_alias, str),
    "host": Flag(_listen, str),
    "port": _whole("port", most=65_535),
    "ctx-size": _whole("n_ctx"),
    "parallel": _whole("n_parallel", least=1),
    "threads": Flag(_threads, _within(1, 512)),
    "threads-batch": _whole("cpuparams_batch.n_threads", least=1, most=512),
    "threads-http": _whole("n_threads_http", least=1, most=512),
    "batch-size": _whole("n_batch", least=1),
    "ubatch-size": _whole("n_ubatch", least=1),
    "n-predict": _whole("n_predict", least=-1),
    "context-shift": _switch("ctx_shift"),
    "cache-type-k": _choice("cache_type_k", "GGML_TYPE_", _KV_TYPES),
    "cache-type-v": _choice("cache_type_v", "GGML_TYPE_", _KV_TYPES),
    "kv-unified": _switch("kv_unified"),
    "no-kv-offload": _switch("no_kv_offload"),
    "swa-full": _switch("swa_full"),
    "cache-ram": _whole("cache_ram_mib", least=-1),
    "ctx-checkpoints": _whole("n_ctx_checkpoints"),
    "sleep-idle-seconds": _whole("sleep_idle_seconds", least=-1),
    "flash-attn": _choice("flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_", "on off auto", on="enabled", off="disabled"),
    "n-gpu-layers": _whole("n_gpu_layers", least=-1),
    "gpu-layers": _whole("n_gpu_layers", least=-1),
    "main-gpu": _whole("main_gpu"),
    "split-mode": _choice("split_mode", "LLAMA_SPLIT_MODE_", "none layer row"),
    "tensor-split": Flag(_split, lambda text: [_number(share) for share in text.split(",")]),
    "n-cpu-moe": Flag(_experts_on_cpu, _within(0, 1_000)),
    "override-tensor": Flag(_place, _placement),
    "mlock": _load_mode(AUTO="MMAP_MLOCK", MMAP="MMAP_MLOCK", NONE="MLOCK"),
    "no-mmap": _load_mode(AUTO="NONE", MMAP="NONE", MMAP_MLOCK="MLOCK"),
    "no-warmup": _switch("warmup", False),
    "rope-scaling": _choice("rope_scaling_type", "LLAMA_ROPE_SCALING_TYPE_", "none linear yarn"),
    "rope-freq-base": _real("rope_freq_base"),
    "rope-freq-scale": _real("rope_freq_scale"),
    "yarn-orig-ctx": _whole("yarn_orig_ctx"),
    "embeddings": _switch("embedding"),
    "pooling": _choice("pooling_type", "LLAMA_POOLING_TYPE_", "none mean cls last rank"),
    "jinja": _switch("use_jinja"),
    "no-jinja": _switch("use_jinja", False),
    "chat-template": _text("chat_template"),
    "chat-template-kwargs": Flag(_set_template_arguments, _template_arguments),
    "reasoning-format": _choice("reasoning_format", "COMMON_REASONING_FORMAT_", "none auto deepseek deepseek-legacy"),
    "seed": _whole("sampling.seed", most=2**32 - 1),
    "temp": _real("sampling.temp"),
    "top-k": _whole("sampling.top_k"),
    "top-p": _real("sampling.top_p"),
    "min-p": _real("sampling.min_p"),
    "repeat-penalty": _real("sampling.penalty_repeat"),
}


def parse(words: list[str]) -> list[tuple[Flag, Any]]:
    """The flags of a command line in their order, with their values. Raises BadFlag."""
    chosen = []
    rest = iter(words)
    for word in rest:
        name = word.removeprefix("--")
        flag = FLAGS.get(name)
        if flag is None or name == word:
            near = difflib.get_close_matches(name, FLAGS, 1, 0.0)[0]
            raise BadFlag(f"invalid argument: {word} (the nearest is --{near})")
        chosen.append((flag, _value(word, flag.parse, rest) if flag.parse else None))
    if "--model" not in words:
        raise BadFlag("invalid argument: --model is missing")
    return chosen


def _value(word: str, convert: Callable[[str], Any], rest: Iterator[str]) -> Any:
    text = next(rest, None)
    if text is None:
        raise BadFlag(f"invalid argument: {word} takes a value")
    try:
        return convert(text)
    except ValueError as error:
        raise BadFlag(f"invalid value for {word}: {text!r} is not {error}") from error


def parameters(chosen: list[tuple[Flag, Any]], key: str | None) -> Any:
    """xllamacpp's parameters for the chosen flags, over what a supervised engine needs."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.ui = False
    params.endpoint_metrics = params.endpoint_slots = True
    params.verbosity = VERBOSITY
    params.fit_params = False
    params.cache_ram_mib = CACHE_RAM_MIB
    params.api_keys = [key] if key else []
    _threads(params, THREADS)
    for flag, value in chosen:
        flag.apply(params, value)
    return params


def await_loop(address: str, key: str | None) -> None:
    """Return when the server takes tasks. One that is ended sooner forgets it and never ends (xllamacpp 2026.10)."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    request = f"GET /metrics HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.encode())
        while connection.recv(65_536):
            pass


def announce(address: str) -> None:
    """Write the base URL where whoever started this looks for it, in one step."""
    if name := os.environ.get("STOKER_ENDPOINT_FILE"):
        partial = Path(f"{name}.partial")
        partial.write_text(address, "ascii")
        partial.replace(name)


def main() -> int:
    """Serve until told to end; the exit status."""
    key = os.environ.pop("LLAMA_API_KEY", None)
    try:
        chosen = parse(sys.argv[1:])
    except BadFlag as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(chosen, key))
    except RuntimeError:
        return 1  # it has said on stderr what it could not do, and its exception does not
    # The engine's own threads may be given the signal, and would not wake this one from anything but a descriptor.
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    await_loop(server.listening_address, key)
    announce(server.listening_address)
    os.read(told, 1)
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
