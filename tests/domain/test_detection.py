"""From an engine's last words to a code: the rules that ship, their order, and what the way it ended proves."""

import errno
import signal
import tomllib
from importlib import resources

import pytest

from app.domain.detection import ExitFacts, judge, parse_rules
from app.domain.failures import StokerError

RULES = parse_rules(tomllib.loads((resources.files("assets") / "failures.toml").read_text("utf-8")))
TAIL = ["0.00.1 E srv init: exiting due to model loading error", "error: Failed to init server"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("E gguf_init_from_file: failed to open GGUF file '/x.gguf' (No such file or directory)", "MUST_REDOWNLOAD"),
        ("E gguf_init_from_file: failed to open GGUF file '/x.gguf' (Permission denied)", "MODEL_LOAD_ERROR"),
        ("E llama_model_load: error loading model: unknown model architecture: 'llamb'", "ARCH_UNSUPPORTED"),
        ("E llama_model_load: error loading model: tensor 'a' data is not within the file bounds", "MODEL_LOAD_ERROR"),
        ("E gguf_init_from_reader: failed to read key-value pairs", "MODEL_LOAD_ERROR"),
        ("E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18221", "PORT_IN_USE"),
        ("E ggml_aligned_malloc: insufficient memory (attempted to allocate  45.00 MB)", "HOST_OOM"),
        ("E cudaMalloc failed: out of memory", "OOM_KILLED"),
        ("error: invalid argument: --ctx-sise", "BAD_FLAG"),
        ("OSError: [Errno 28] No space left on device", "DISK_FULL"),
    ],
)
def test_the_engines_own_line_is_the_evidence(line: str, code: str) -> None:
    assert judge(["I loading", line, *TAIL], ExitFacts(code=1), RULES, "llama.cpp") == (code, line)


def test_a_cause_beats_its_summary_wherever_it_stands() -> None:
    lines = ["E failed to create context", "E llama_model_load: error loading model: x", "E insufficient memory: no"]
    lines.append("E ggml_aligned_malloc: insufficient memory (attempted to allocate 1 MB)")
    assert judge(lines, ExitFacts(code=1), RULES, "llama.cpp")[0] == "HOST_OOM"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (ExitFacts(signal=signal.SIGKILL), "KILLED_EXTERNALLY"),
        (ExitFacts(signal=signal.SIGKILL, oom=True), "HOST_OOM"),
        (ExitFacts(signal=signal.SIGSEGV), "RUNTIME_ERROR"),
        (ExitFacts(lost=True), "KILLED_EXTERNALLY"),
        (ExitFacts(error="No such file: python9", errno=errno.ENOENT), "ENTRYPOINT_MISSING"),
        (ExitFacts(error="No space left on device", errno=errno.ENOSPC), "DISK_FULL"),
        (ExitFacts(error="Cannot allocate memory", errno=errno.ENOMEM), "CONTAINER_EXITED"),
        (ExitFacts(code=3), "CONTAINER_EXITED"),
        (ExitFacts(code=0), "CONTAINER_EXITED"),
    ],
)
def test_an_end_without_a_telling_line_is_judged_by_how_it_came(how: ExitFacts, code: str) -> None:
    found, evidence = judge(["I all is well"], how, RULES, "llama.cpp")
    assert found == code
    assert evidence


def test_evidence_cannot_act_on_a_terminal_and_is_short() -> None:
    line = "error: invalid argument: \x1b[2J\x1b]52;c;x\x07" + "y" * 10_000
    _, evidence = judge([line], ExitFacts(code=1), RULES, "llama.cpp")
    assert "\x1b" not in evidence
    assert len(evidence) <= 300


def test_a_rule_is_for_its_engines_only() -> None:
    line = "error: invalid argument: --x"
    assert judge([line], ExitFacts(code=1), RULES, "other")[0] == "CONTAINER_EXITED"


@pytest.mark.parametrize("line", ["  what():  Resource temporarily unavailable", "error creating backtrace: mmap: 12"])
def test_under_a_memory_limit_the_systems_refusals_mean_just_that(line: str) -> None:
    assert judge([line], ExitFacts(signal=6), RULES, "llama.cpp", limited=True) == ("HOST_OOM", line.strip())
    assert judge([line], ExitFacts(signal=6), RULES, "llama.cpp")[0] == "RUNTIME_ERROR"


@pytest.mark.parametrize(
    "rule",
    [
        {"id": "a", "code": "NO_SUCH_CODE", "pattern": "x"},
        {"id": "a", "code": "BAD_FLAG", "pattern": "("},
        {"id": "a", "code": "BAD_FLAG"},
    ],
)
def test_a_bad_rule_is_named(rule: dict[str, str]) -> None:
    with pytest.raises(StokerError, match=r"rule a") as caught:
        parse_rules({"rule": [rule]})
    assert caught.value.code == "CONFIG_INVALID"
