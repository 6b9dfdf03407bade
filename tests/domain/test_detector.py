"""The stream: lines however they come, what stands before them, recoveries, milestones, and what proves nothing."""

import random

import pytest

from app.domain.detector import REPEATS, Detector
from app.domain.findings import EVIDENCE_LIMIT, Finding
from tests.domain.rules import RULES, detect, verdict

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of"
    " which 1.20 GiB is free."
)
LOG = (
    "vLLM API server version 0.10.2",
    "\x1b[32mLoading safetensors checkpoint shards:   0% Completed | 0/4\r 50% Completed | 2/4",
    "Loading safetensors checkpoint shards: 100% Completed | 4/4",
    "GPU KV cache size: 75,840 tokens",
    "CUDA error: an illegal memory access was encountered",
    OOM,
)


@pytest.mark.parametrize(
    "line",
    [
        "(EngineCore_DP0 pid=563) ERROR 12-23 23:34:23 [core.py:708] {}",
        "vllm-1  | (Worker_TP1 pid=61) ERROR 12-23 23:34:23 [multiproc_executor.py:9] {}",
        "[rank0]: {}",
        "[2025-09-22 10:25:22 DP0 TP1] {}",
        "May 15 08:57:36 host unit[12]: {}",
        "2025-09-22T10:25:22.123456789Z stderr F {}",
        "#033[2m2024-09-25T15:04:30.371516Z#033[0m #033[31mERROR#033[0m shard-manager: text_generation_launcher: {}",
        "2026-08-05 09:15:13 | ERROR | stderr | {}",
        "\x1b[1;31m{}\x1b[0m",
        "Capturing CUDA graph shapes:   0%|  | 0/11 [00:00<?]\r{}",
    ],
)
def test_what_stands_in_front_of_a_message_is_no_part_of_it(line: str) -> None:
    detector, found = detect(line.format(OOM))
    (failure,) = [f for f in found if f.kind == "failure"]
    assert (failure.code, failure.line, failure.evidence) == ("OOM_KILLED", 1, OOM)
    assert detector.lines == 1


def test_numbers_are_kept_in_bytes() -> None:
    (found,) = detect(OOM)[1]
    assert found.captured == {
        "requested": 2_684_354_560,
        "limit": 25_383_256_719,
        "free": 1_288_490_188,
    }
    (port,) = detect("E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18221")[1]
    assert port.captured == {"port": 18221}
    (xid,) = detect("[1.1] NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', GPU has fallen off the bus.")[1][:1]
    assert xid.captured == {"xid": 79}
    (flag,) = detect("vllm: error: unrecognized arguments: --max-modle-len 5")[1]
    assert flag.captured == {"flag": "--max-modle-len"}


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_in_what_pieces_the_stream_comes(seed: int) -> None:
    data = "\n".join(LOG).encode()
    whole = Detector(RULES)
    expected = [*whole.feed(data), *whole.end()]
    chance, pieces, at = random.Random(seed), Detector(RULES), 0  # noqa: S311 # a seeded choice of cuts
    found: list[Finding] = []
    while at < len(data):
        size = chance.randint(1, 60)
        found += pieces.feed(data[at : at + size])
        at += size
    found += pieces.end()
    assert found == expected
    assert [f.line for f in found] == sorted(f.line or 0 for f in found)


def test_an_offset_leads_to_the_line_even_behind_colours_and_other_alphabets() -> None:
    lines = ["\x1b[31mé\x1b[0m", "\x1b[1mfine\x1b[0m", OOM]
    data = "\n".join(lines).encode()
    detector = Detector(RULES)
    (found,) = [*detector.feed(data), *detector.end()]
    assert found.offset == data.index(OOM.encode())
    assert found.line == 3


def test_what_is_not_kept_of_a_stream_moves_the_offsets() -> None:
    detector = Detector(RULES)
    list(detector.feed(b"one\n"))
    detector.skip(1_000)
    (found,) = detector.feed(OOM.encode() + b"\n")
    assert found.offset == 1_004


def test_a_line_that_never_ends_is_taken_in_parts() -> None:
    detector = Detector(RULES)
    found = [f for _ in range(40) for f in detector.feed(b"x" * 100_000 + OOM.encode())]
    assert {f.code for f in found} == {"OOM_KILLED"}
    assert detector.lines == 0


def test_the_same_fault_of_every_rank_is_told_a_few_times() -> None:
    _, found = detect(*(f"(Worker_TP{i % 8} pid={i}) {OOM}" for i in range(100)))
    assert len(found) == REPEATS


def test_evidence_is_short_safe_and_without_secrets() -> None:
    line = "x.py: error: unrecognized arguments: --api-key=hf_abcdefghijklmnop --x \x1b]52;c;x\x07" + "y" * 10_000
    (found,) = detect(line)[1]
    assert "hf_abc" not in found.evidence
    assert "\x1b" not in found.evidence
    assert len(found.evidence) <= EVIDENCE_LIMIT


def test_milestones_tell_how_far_it_is() -> None:
    _, found = detect(*LOG[:4])
    assert [(f.code, f.captured.get("fraction")) for f in found] == [
        ("start", None),
        ("weights", 0.0),
        ("weights", 1.0),
        ("kv", None),
    ]
    assert found[3].captured == {"tokens": 75_840}


def test_progress_is_told_in_steps() -> None:
    _, found = detect(*(f"Loading safetensors checkpoint shards: {n:3}% Completed | {n}/100" for n in range(101)))
    assert 15 <= len(found) <= 22


def test_a_recovery_takes_back_what_it_names() -> None:
    lines = (
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 80.0 MiB on device 0: cudaMalloc failed: out of memory",
        "llama_init_from_model: compute buffer allocation failed, retrying without pipeline parallelism",
    )
    assert verdict(lines[0]) == "OOM_KILLED"
    assert verdict(*lines) is None
    assert [(f.kind, f.code, f.line) for f in detect(*lines)[1]] == [
        ("failure", "OOM_KILLED", 1),
        ("recovered", "OOM_KILLED", 2),
    ]


def test_readiness_takes_back_all_but_the_hardware() -> None:
    ready = "The server is fired up and ready to roll!"
    assert verdict(OOM, ready) is None
    assert verdict("NVRM: Xid (PCI:0000:05:00): 79, GPU has fallen off the bus.", ready) == "CUDA_ERROR"
    assert verdict(ready, OOM) == "OOM_KILLED"


def test_of_several_starts_the_last_that_failed_is_told() -> None:
    banner = "vLLM API server version 0.10.2"
    assert verdict(banner, OOM, banner, "OSError: [Errno 98] Address already in use") == "PORT_IN_USE"
    assert verdict(banner, OOM, banner) == "OOM_KILLED"


def test_an_orderly_end_may_sound_like_a_crash() -> None:
    died = "ERROR 06-05 19:16:58 [core_client.py:627] Engine core proc EngineCore died unexpectedly, shutting down."
    assert (
        verdict("(EngineCore pid=752) INFO 06-06 17:24:44 [core.py:2122] Shutdown initiated (timeout=0)", died) is None
    )
    assert verdict(died) == "RUNTIME_ERROR"


@pytest.mark.parametrize(
    ("earlier", "later", "code"),
    [
        ("RuntimeError: Engine core initialization failed. See root cause above.", OOM, "OOM_KILLED"),
        (OOM, "ggml_aligned_malloc: insufficient memory (attempted to allocate 45.00 MB)", "HOST_OOM"),
        ("CUDA error: unspecified launch failure", OOM, "OOM_KILLED"),
        ("OSError: Can't load tokenizer for 'a/b'.", "GatedRepoError: 401 Client Error.", "MODEL_GATED"),
        ("llama_model_load: error loading model: x", "unknown model architecture: 'phi9'", "ARCH_UNSUPPORTED"),
        ("Received sigquit from a child process.", "RuntimeError: NCCL error: unhandled system error", "CUDA_ERROR"),
    ],
)
def test_the_order_of_causes_not_of_lines_decides(earlier: str, later: str, code: str) -> None:
    assert verdict(earlier, later) == code
    assert verdict(later, earlier) == code


@pytest.mark.parametrize(
    "line",
    [
        "INFO 01-01 00:00:00 [logger.py:39] Received request chatcmpl-1: prompt: 'CUDA out of memory', params: x",
        'srv oaicompat: {"messages":[{"role":"user","content":"No space left on device"}]}',
        'INFO [ main] chat template | chat_example="Address already in use" built_in=true',
        "  --oom-kill-disable   Disable OOM Killer; torch.OutOfMemoryError: is what you get",
        "STARTUP_HINT=CUDA error: out of memory",
        "INFO 01-01 00:00:00 [utils.py:170] non-default args: {'x': 'CUDA out of memory. Tried to allocate'}",
        "ggml_cuda_host_malloc: failed to allocate 9669.27 MiB of pinned memory: invalid argument",
        "WARNING 07-02 12:35:56 scheduler.py:70] Sequence group 0 is preempted: there is not enough KV cache space.",
        'INFO:     127.0.0.1:48652 - "POST /v2/models/x/infer HTTP/1.1" 404 Not Found',
        "Port 8000 is already in use, trying port 8001 instead.",
        "warning: failed to mlock 1-byte buffer (after previously locking 0 bytes): Cannot allocate memory",
        "Token indices sequence length is longer than the specified maximum sequence length for this model (5 > 4).",
        "Some weights of X were not initialized from the model checkpoint at y and are newly initialized: ['a']",
        "volatile uncorrectable ECC errors: 0",
        "INFO Initializing an LLM engine (v0.6.3) with config: model='a/b', trust_remote_code=True, dtype=float16",
        "Error: nothing to see here",
        "ERROR | stderr | INFO:     Application startup complete.",
    ],
)
def test_an_echo_a_hint_and_a_level_prove_nothing(line: str) -> None:
    assert verdict(line) is None


def test_a_traceback_proves_an_error_only_with_its_frames() -> None:
    assert verdict("ValueError: nothing") is None
    trace = ("Traceback (most recent call last):", '  File "/a.py", line 3, in <module>', "ValueError: too bad")
    detector, found = detect(*trace)
    assert [(f.code, f.line) for f in found] == [("RUNTIME_ERROR", 3)]
    assert verdict(*trace[:2], "KeyboardInterrupt") is None
    warned = (f"WARNING 01-01 00:00:00 [a.py:1] {line}" for line in trace)
    assert verdict(*warned) is None
    assert detector.last == b"ValueError: too bad"


def test_a_rule_is_for_its_engines_only() -> None:
    line = "ModuleNotFoundError: No module named 'xllamacpp'"
    assert verdict(line, engine="llama.cpp") == "ENTRYPOINT_MISSING"
    assert verdict(line, engine="vllm") is None
