"""An attempt's directory on this machine, for an engine in a container: whose it is, where it ran, how it ended.

The daemon's labels say what runs; this says what became of a start that left no container, which secrets the output may
hold, and, once it is `released`, that its key is used up.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.attempts import Attempt, read_json
from backends.base import Exit, InstanceSpec

LABEL_FILE = "container.json"
"""Not the `spec.json` of a process: no backend takes another's attempts for its own."""
_SECRETS_FILE = "masked.json"
_FORWARD_FILE = "forward.json"
_EXIT_FIELDS = ("at", "code", "signal", "oom", "lost", "error", "errno")


@dataclass(frozen=True, slots=True)
class Facts:
    """Whose an attempt is, as its file says. `created_at` is UTC microseconds."""

    owner: str
    deployment: str
    instance: str
    epoch: int
    host: str
    created_at: int


class ContainerAttempt:
    """The directory `path`. Raises OSError where the disk cannot be asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = Attempt(path)

    @property
    def released(self) -> bool:
        return self._files.released

    @property
    def facts(self) -> Facts | None:
        """What its file says; None without one that makes sense."""
        data = read_json(self.path / LABEL_FILE)
        try:
            return Facts(**{name: data[name] for name in Facts.__dataclass_fields__})
        except KeyError:
            return None

    @property
    def secrets(self) -> list[str]:
        """What must not be seen in its output."""
        found = read_json(self.path / _SECRETS_FILE).get("values")
        return [str(value) for value in found] if isinstance(found, list) else []

    @property
    def forward(self) -> tuple[int, int] | None:
        """The port here that led to the engine last, and the port on the host that it led to."""
        data = read_json(self.path / _FORWARD_FILE)
        here, there = data.get("here"), data.get("there")
        return (here, there) if isinstance(here, int) and isinstance(there, int) else None

    @property
    def exit(self) -> Exit | None:
        """How it ended, if that is known."""
        data = read_json(self.path / "exit.json")
        if not isinstance(data.get("at"), int):
            return None
        return Exit(**{name: data[name] for name in _EXIT_FIELDS})

    def prepare(self, spec: InstanceSpec, host: str, now: int) -> None:
        """Write down whose it is, before anything exists that could be without an owner."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if spec.secrets:
            self._files.write(_SECRETS_FILE, {"values": list(spec.secrets.values())})
        facts = Facts(spec.owner, spec.deployment, spec.instance, spec.epoch, host, now)
        data: dict[str, Any] = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
        self._files.write(LABEL_FILE, data, durable=True)

    def note_forward(self, here: int, there: int) -> None:
        """Keep which port here leads to the engine: the gateway goes on using it while no server runs."""
        self._files.write(_FORWARD_FILE, {"here": here, "there": there})

    def end(self, how: Exit) -> None:
        """Write down how it ended. The secrets are in nothing that comes after."""
        self._files.write("exit.json", {name: getattr(how, name) for name in _EXIT_FIELDS})
        with contextlib.suppress(FileNotFoundError):
            (self.path / _SECRETS_FILE).unlink()

    def release(self) -> None:
        """Let go of it for good."""
        (self.path / "released").touch(mode=0o600)
