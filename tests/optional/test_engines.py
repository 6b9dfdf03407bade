"""Presets against the real engines: the command starts them, their health and metrics are where it says, and what they
write is understood. Each needs an environment of its own; see `install.sh`."""

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.domain.findings import Finding
from tests.optional.running import PRESETS, ROOT, Running, argv, damaged, program, running
from tests.optional.tiny import write

pytestmark = [pytest.mark.optional, pytest.mark.timeout(600)]

_START = (
    "import runpy, sys; sys.path.insert(0, {root!r}); "
    "runpy.run_module('backends.mlx', run_name='__main__', alter_sys=True)"
)


def mlx(folder: Path, model: Path) -> Any:
    """MLX, which writes its address into a file."""
    words = argv("mlx", model)
    start = [program("mlx", "python"), "-I", "-c", _START.format(root=str(ROOT)), *words[4:]]
    return running("mlx", start, folder, "", STOKER_ENDPOINT_FILE=str(folder / "endpoint"))


def boxed(engine: str, folder: Path, model: Path, *more: str, **env: str) -> Any:
    """An engine that runs in containers, as what runs inside."""
    words = argv(engine, model)
    port = words[words.index("--port") + 1]
    command = [program(engine, words[0]), *words[1:], *more]
    return running(engine, command, folder, f"http://127.0.0.1:{port}", **env)


def vllm(folder: Path, model: Path) -> Any:
    """vLLM on the processor."""
    return boxed("vllm", folder, model, "--enforce-eager", VLLM_CPU_KVCACHE_SPACE="1")


def address(engine: Running, file: Path) -> str:
    """What the engine wrote once it was loaded."""
    deadline = time.monotonic() + 120
    while not file.exists():
        assert engine.process.poll() is None, engine.log.read_text()
        assert time.monotonic() < deadline, "no address in time"
        time.sleep(0.05)
    return file.read_text()


def stages(found: list[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.code for finding in found if finding.kind == "milestone"))


def answers(engine: Running, **model: str) -> dict[str, Any]:
    """A chat that went well, with its usage."""
    message = [{"role": "user", "content": "hi"}]
    response = engine.post("/v1/chat/completions", messages=message, max_tokens=2, **model)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    assert document["usage"]["completion_tokens"] == 2
    return document


def no_failure(engine: Running) -> bool:
    return not [found for found in engine.findings() if found.kind == "failure"]


def test_mlx(tmp_path: Path) -> None:
    model = write(tmp_path / "tiny")
    with mlx(tmp_path, model) as engine:
        engine.endpoint = address(engine, tmp_path / "endpoint")
        engine.ready()
        assert answers(engine, model="demo")["model"] == "demo", "whatever it is called"
        assert engine.get("/health").json() == {"status": "ok"}
        assert httpx2.get(engine.endpoint + "/v1/models", trust_env=False).status_code == 401
        assert stages(engine.findings()) == ["weights", "ready"]
        assert no_failure(engine)


def test_mlx_ends_if_it_cannot_load(tmp_path: Path) -> None:
    with mlx(tmp_path, damaged(write(tmp_path / "tiny"))) as engine:
        assert engine.ended() == "MODEL_LOAD_ERROR"
        assert engine.process.returncode == 1


def test_transformers(tmp_path: Path) -> None:
    with boxed("transformers", tmp_path, write(tmp_path / "tiny")) as engine:
        engine.ready()
        answers(engine)
        assert engine.post("/v1/chat/completions", model="demo", messages=[]).status_code == 400, "it knows no names"
        assert not PRESETS["transformers"].named
        assert stages(engine.findings()) == ["weights", "ready"]
        assert no_failure(engine)


def test_transformers_that_cannot_load(tmp_path: Path) -> None:
    with boxed("transformers", tmp_path, damaged(write(tmp_path / "tiny"))) as engine:
        assert engine.ended() == "MODEL_LOAD_ERROR"


def test_vllm(tmp_path: Path) -> None:
    with vllm(tmp_path, write(tmp_path / "tiny")) as engine:
        engine.ready()
        assert answers(engine, model="demo")["model"] == "demo"
        metrics = engine.get("/metrics").text
        assert all(f"\n{name}{{" in metrics for name in engine.preset.metrics.values())
        assert {"weights", "kv", "warmup", "ready"} <= set(stages(engine.findings()))
        assert no_failure(engine)


def test_vllm_that_cannot_load(tmp_path: Path) -> None:
    with vllm(tmp_path, damaged(write(tmp_path / "tiny"))) as engine:
        assert engine.ended() == "MODEL_LOAD_ERROR"
