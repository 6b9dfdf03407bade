"""Why an engine ended: its own words, weighed against the way it went."""

import errno
import signal

import pytest

from app.domain.verdict import ExitFacts, judge
from tests.domain.rules import detect

TAIL = ("0.00.174.299 E srv init: exiting due to model loading error", "error: Failed to init server")
OOM = "E ggml_aligned_malloc: insufficient memory (attempted to allocate  45.00 MB)"


def judged(*lines: str, how: ExitFacts, limited: bool = False, requests: bool = False) -> tuple[str, str]:
    found = judge(detect(*lines, engine="llama.cpp", limited=limited)[0], how, requests=requests)
    return found.code, found.evidence


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("E gguf_init_from_file: failed to open GGUF file '/x.gguf' (No such file or directory)", "MUST_REDOWNLOAD"),
        ("E gguf_init_from_file: failed to open GGUF file '/x.gguf' (Permission denied)", "MODEL_LOAD_ERROR"),
        ("E llama_model_load: error loading model: unknown model architecture: 'llamb'", "ARCH_UNSUPPORTED"),
        ("E llama_model_load: error loading model: tensor 'a' data is not within the file bounds", "MODEL_LOAD_ERROR"),
        ("E gguf_init_from_reader: failed to read key-value pairs", "MODEL_LOAD_ERROR"),
        ("E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18221", "PORT_IN_USE"),
        (OOM, "HOST_OOM"),
        ("E cudaMalloc failed: out of memory", "OOM_KILLED"),
        ("error: invalid argument: --ctx-sise", "BAD_FLAG"),
        ("OSError: [Errno 28] No space left on device", "DISK_FULL"),
    ],
)
def test_the_engines_own_line_is_the_evidence(line: str, code: str) -> None:
    assert judged("I loading", line, *TAIL, how=ExitFacts(code=1)) == (code, line)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (ExitFacts(signal=signal.SIGKILL), "KILLED_EXTERNALLY"),
        (ExitFacts(code=137), "KILLED_EXTERNALLY"),
        (ExitFacts(signal=signal.SIGKILL, oom=True), "HOST_OOM"),
        (ExitFacts(code=137, oom=True), "HOST_OOM"),
        (ExitFacts(signal=signal.SIGSEGV), "RUNTIME_ERROR"),
        (ExitFacts(code=139), "RUNTIME_ERROR"),
        (ExitFacts(lost=True), "KILLED_EXTERNALLY"),
        (ExitFacts(error="No such file: python9", errno=errno.ENOENT), "ENTRYPOINT_MISSING"),
        (ExitFacts(error="No space left on device", errno=errno.ENOSPC), "DISK_FULL"),
        (ExitFacts(error="Cannot allocate memory", errno=errno.ENOMEM), "CONTAINER_EXITED"),
        (ExitFacts(code=3), "CONTAINER_EXITED"),
        (ExitFacts(code=0), "CONTAINER_EXITED"),
    ],
)
def test_an_end_without_a_telling_line_is_judged_by_how_it_came(how: ExitFacts, code: str) -> None:
    found, evidence = judged("I all is well", how=how)
    assert found == code
    assert evidence


def test_who_kills_itself_for_a_reason_has_that_reason() -> None:
    killed = ExitFacts(signal=signal.SIGKILL)
    assert judged(OOM, "I cleaning", how=killed) == ("HOST_OOM", OOM)
    assert judged(OOM, *["I all is well"] * 500, how=killed)[0] == "KILLED_EXTERNALLY"
    assert judged(*TAIL, how=killed)[0] == "KILLED_EXTERNALLY"


def test_a_failed_request_is_no_failure_of_the_engine() -> None:
    line = "E srv send_error: the request exceeds the available context size. try increasing the context size"
    assert judged(line, how=ExitFacts(code=1))[0] == "CONTAINER_EXITED"
    assert judged(line, how=ExitFacts(code=1), requests=True) == ("CTX_TOO_LARGE", line)


def test_an_end_in_good_order_refutes_a_summary() -> None:
    assert judged(TAIL[0], how=ExitFacts(code=0))[0] == "CONTAINER_EXITED"
    assert judged(TAIL[0], how=ExitFacts(code=1))[0] == "MODEL_LOAD_ERROR"


@pytest.mark.parametrize("line", ["  what():  Resource temporarily unavailable", "error creating backtrace: mmap: 12"])
def test_under_a_memory_limit_the_systems_refusals_mean_just_that(line: str) -> None:
    assert judged(line, how=ExitFacts(signal=6), limited=True) == ("HOST_OOM", line.strip())
    assert judged(line, how=ExitFacts(signal=6))[0] == "RUNTIME_ERROR"


def test_the_evidence_of_an_exit_is_short_and_safe() -> None:
    code, evidence = judged("\x1b]52;c;x\x07" + "y" * 10_000, how=ExitFacts(code=3))
    assert code == "CONTAINER_EXITED"
    assert "\x1b" not in evidence
    assert len(evidence) <= 300
