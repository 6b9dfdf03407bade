"""An engine as its preset starts it, with the program of an environment of its own, and what may be seen of it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.control.health import Pace, Prober, Target
from app.domain.engines import Preset, parse_presets, render_command
from app.domain.findings import Finding
from app.domain.variant import ModelRef, VariantSpec
from app.domain.verdict import cause
from tests.domain.rules import detect

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("STOKER_OPTIONAL") or ROOT / ".optional")
"""An environment an engine; `tests/optional/install.sh ENGINE` makes them."""
PRESETS = parse_presets(tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8")))
PATIENCE_S = 300
KEY = "engine-key"


def program(engine: str, name: str) -> str:
    """A program of the environment of `engine`; without one the test is skipped."""
    path = FOLDER / engine / "bin" / name
    if not path.exists():
        pytest.skip(f"{engine} is not installed: tests/optional/install.sh {engine}")
    return str(path)


def argv(engine: str, folder: Path, **changes: Any) -> list[str]:
    """What the preset makes of a launch, as for a model that the engine finds under its own name."""
    preset = PRESETS[engine]
    values: dict[str, Any] = {"context": 256, "seqs": 2, "kv_type": preset.kv_types[0], **changes}
    spec = VariantSpec(ModelRef("tiny", "hub", str(folder), "safetensors"), engine, "docker", **values)
    if preset.container is None:
        spec = replace(spec, backend="process")
    else:
        boxed = replace(preset.container, port=free_port())
        preset = replace(preset, container=boxed)
    return list(render_command(preset, spec, "demo", "python", 1))


def free_port() -> int:
    """A port that was free a moment ago: these engines choose none themselves."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """An engine that was started: its process, what it writes, and where it listens."""

    preset: Preset
    process: subprocess.Popen[bytes]
    log: Path
    endpoint: str

    def ready(self) -> None:
        """Return when the server's own prober takes it for ready."""
        asyncio.run(self._ready())

    async def _ready(self) -> None:
        prober = Prober(lambda: None, _NoRequests(), Pace())
        prober.watch({"a": Target("demo-a", self.endpoint, KEY, self.preset.health)}, frozenset())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not prober.health("a").ready:
                    assert self.process.poll() is None, self.log.read_text()
                    await asyncio.sleep(0.1)
        finally:
            await prober.close()

    def post(self, path: str, **body: Any) -> httpx2.Response:
        """A request with the engine's key."""
        return httpx2.post(self.endpoint + path, json=body, headers=self.headers, timeout=60, trust_env=False)

    def get(self, path: str) -> httpx2.Response:
        """A request with the engine's key."""
        return httpx2.get(self.endpoint + path, headers=self.headers, timeout=60, trust_env=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}

    def ended(self) -> str | None:
        """The code of what it wrote until it ended by itself."""
        self.process.wait(PATIENCE_S)
        detector, _ = detect(*self.log.read_text().splitlines(), engine=self.preset.name)
        found = cause(detector.standing.values())
        return found.finding.code if found else None

    def findings(self) -> list[Finding]:
        """What its lines say."""
        return detect(*self.log.read_text().splitlines(), engine=self.preset.name)[1]


class _NoRequests:
    async def served_since(self, attempt_id: str, seconds: float) -> bool:
        return False

    async def in_flight(self, instance: str) -> bool:
        return False


@contextmanager
def running(engine: str, command: list[str], folder: Path, endpoint: str, **env: str) -> Iterator[Running]:
    """Start `command`; the whole session that it leads is ended afterwards."""
    preset, log = PRESETS[engine], folder / "engine.log"
    (folder / "hub").mkdir(exist_ok=True)
    own = {preset.key_env: KEY} if preset.key_env else {}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    values = {**os.environ, **preset.environment, **offline, **own, **env}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=values, cwd=folder, start_new_session=True
        )
    try:
        yield Running(preset, process, log, endpoint)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def damaged(folder: Path) -> Path:
    """The model in `folder` with the end of its weights cut off."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    return folder
