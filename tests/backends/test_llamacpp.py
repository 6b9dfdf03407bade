"""llama.cpp in a process of its own: what it serves, and that every failure ends it with its own words."""

import socket
import struct
from pathlib import Path

import httpx2
import pytest

from backends.base import Exit
from backends.llamacpp import BadFlag, parse
from tests.contract.harness import ENGINE_KEY, ProcessHarness, bundled_model, ended, listening, run, running, until


def end_of(local: ProcessHarness, *flags: str, model: Path | None = None, **more: object) -> tuple[Exit, str]:
    """How an engine that cannot start ends, and what it has printed."""
    run(local.backend.create(local.engine("a1", *flags, model=model, **more), "a1"))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    return end, local.output("a1")


def header(*, architecture: bytes = b"llama") -> bytes:
    """The beginning of a GGUF file with one key, `general.architecture` (GGUF version 3, no tensors)."""

    def string(text: bytes) -> bytes:
        return struct.pack("<Q", len(text)) + text

    return (
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + string(b"general.architecture")
        + struct.pack("<I", 8)
        + string(architecture)
    )


def test_a_missing_model(local: ProcessHarness) -> None:
    end, output = end_of(local, model=local.root / "no-such.gguf")
    assert end.code == 1
    assert "failed to open GGUF file" in output
    assert "(No such file or directory)" in output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "failed to read magic"),
        (b"PK\x03\x04" * 64, "invalid magic characters"),
        (header()[:30], "failed to read key"),
        (header(architecture=b"llamb"), "unknown model architecture: 'llamb'"),
    ],
)
def test_a_file_that_is_no_model(local: ProcessHarness, content: bytes, words: str) -> None:
    path = local.root.parent / "model.gguf"
    path.write_bytes(content)
    end, output = end_of(local, model=path)
    assert end.code == 1
    assert words in output


def test_a_truncated_model(local: ProcessHarness) -> None:
    path = local.root.parent / "model.gguf"
    with bundled_model().open("rb") as whole:
        path.write_bytes(whole.read(8_000_000))
    end, output = end_of(local, model=path)
    assert end.code == 1
    assert "data is not within the file bounds, model is corrupted or incomplete" in output


def test_a_port_that_is_taken(local: ProcessHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        end, output = end_of(local, "--port", str(port))
    assert end.code == 1
    assert f"couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}" in output
    assert "loading model" not in output


def test_a_limit_on_memory(local: ProcessHarness) -> None:
    end, output = end_of(local, "--ctx-size", "65536", memory_limit=900_000_000)
    assert end.code == 1
    assert "insufficient memory" in output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--ctx-sise", "4"), "error: invalid argument: --ctx-sise (the nearest is --ctx-size)\n"),
        (("--hots", "::"), "error: invalid argument: --hots (the nearest is --host"),
        (("-c", "4"), "error: invalid argument: -c (the nearest is "),
        (("stray",), "error: invalid argument: stray (the nearest is "),
        (("--temp",), "error: invalid argument: --temp takes a value\n"),
        (
            ("--ctx-size", "32k"),
            "error: invalid value for --ctx-size: '32k' is not a whole number from 0 to 2147483647\n",
        ),
        (("--ctx-size", "1e9"), "error: invalid value for --ctx-size: '1e9' is not a whole number"),
        (("--parallel", "0"), "error: invalid value for --parallel: '0' is not a whole number from 1"),
        (("--parallel", "٣"), "error: invalid value for --parallel: '٣' is not a whole number from 1"),
        (("--temp", "nan"), "error: invalid value for --temp: 'nan' is not a number\n"),
        (("--cache-type-k", "q9"), "error: invalid value for --cache-type-k: 'q9' is not one of f32 f16 "),
        (
            ("--chat-template-kwargs", "[]"),
            "error: invalid value for --chat-template-kwargs: '[]' is not a JSON object\n",
        ),
    ],
)
def test_a_wrong_flag(local: ProcessHarness, flags: tuple[str, ...], words: str) -> None:
    end, output = end_of(local, *flags)
    assert end.code == 1
    assert output.startswith(words)
    assert output.count("\n") == 1


def test_no_model_is_a_wrong_flag() -> None:
    with pytest.raises(BadFlag, match="--model is missing"):
        parse(["--ctx-size", "5"])


def test_flags_reach_the_engine(local: ProcessHarness) -> None:
    flags = "--parallel 4 --batch-size 256 --ubatch-size 64 --threads-batch 2 --cache-type-k q8_0 --cache-type-v q4_0 "
    flags += "--n-predict 3 --temp 0.25 --top-k 11 --top-p 0.5 --min-p 0.125 --seed 42 --repeat-penalty 1.5 "
    flags += "--no-mmap --no-warmup --kv-unified --reasoning-format none --rope-freq-base 20000 --ctx-checkpoints 3"
    template = ("--chat-template", "{{ messages[0].content }}|{{ word }}", "--chat-template-kwargs", '{"word": "kept"}')
    run(local.backend.create(local.engine("a1", *flags.split(), *template), "a1"))
    url = until(lambda: listening(local.backend, "a1"))
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {ENGINE_KEY}"}, timeout=60) as client:
        params = client.get("/props").json()["default_generation_settings"]["params"]
        answer = client.post("/v1/chat/completions", json=body).json()
        prompt = client.post("/apply-template", json=body).json()["prompt"]
        slots = client.get("/slots").json()
        assert client.get("/metrics").status_code == 200
        assert client.get("/").status_code == 404, "no web page of the engine's own"
    wanted = {"temperature": 0.25, "top_k": 11, "top_p": 0.5, "min_p": 0.125, "seed": 42, "repeat_penalty": 1.5}
    assert {name: params[name] for name in wanted} == wanted
    assert answer["usage"]["completion_tokens"] == 3
    assert prompt == "Hello|kept"
    assert [slot["n_ctx"] for slot in slots] == [512] * 4
    output = local.output("a1")
    for words in (
        "n_batch               = 256",
        "n_ubatch              = 64",
        "n_threads = 1 (n_threads_batch = 2)",
        "K (q8_0)",
        "V (q4_0)",
        "load_mode = none",
        "freq_base             = 20000.0",
        "context checkpoints enabled, max = 3",
    ):
        assert words in output
    assert "warming up" not in output


def test_embeddings_are_served_when_asked_for(local: ProcessHarness) -> None:
    run(local.backend.create(local.engine("a1", "--embeddings", "--pooling", "mean"), "a1"))
    url = until(lambda: listening(local.backend, "a1"))
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {ENGINE_KEY}"}, timeout=60) as client:
        answer = client.post("/v1/embeddings", json={"input": "Hello"}).json()
    assert len(answer["data"][0]["embedding"]) == 576


def test_a_port_may_be_chosen(local: ProcessHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run(local.backend.create(local.engine("a1", "--port", str(port)), "a1"))
    assert until(lambda: listening(local.backend, "a1")) == f"http://127.0.0.1:{port}"


def test_the_key_is_not_in_the_command_line(local: ProcessHarness) -> None:
    run(local.backend.create(local.engine("a1"), "a1"))
    until(lambda: running(local.backend, "a1"))
    spec = (local.root / "a1/spec.json").read_text()
    assert ENGINE_KEY not in spec
    assert "LLAMA_API_KEY" in spec
