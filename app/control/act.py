"""Calls to backends: what a pass decided to do outside, each carried out once at a time for an instance.

The rows that say so are committed before anything here runs, and every call may be repeated after a crash.
"""

import asyncio
import logging
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from app.domain import reconcile as rules
from app.domain.engines import CONTAINERS, Preset, compute_threads, gpu_choice, mounted, render_command
from app.domain.facts import Instance
from app.domain.failures import StokerError
from app.domain.variant import ModelRef, VariantSpec
from app.launch.environment import read_values
from app.launch.fit import share_on
from app.launch.images import admit
from app.launch.models import at_hand
from app.launch.pinning import moved
from app.settings import Home
from backends.base import Backend, BackendRefused, Container, CouldNotLook, InstanceSpec, Mount

log = logging.getLogger(__name__)


class Actor:
    """Runs external actions as tasks. `done` is called when one has ended, whatever came of it.

    `env` is what every engine finds in its environment beside its own.
    """

    def __init__(
        self,
        home: Home,
        owner: str,
        presets: Mapping[str, Preset],
        env: Mapping[str, str],
        done: Callable[[], None],
    ) -> None:
        self._home = home
        self._owner = owner
        self._presets = presets
        self._env = env
        self._done = done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended_at: dict[str, float] = {}
        self.stops_sent: set[str] = set()
        self.released: set[str] = set()
        self._aside: set[asyncio.Task[None]] = set()
        self.moved: list[tuple[str, str]] = []
        self.refused: dict[str, BackendRefused | StokerError] = {}

    def busy(self, looked_at: Mapping[str, float]) -> frozenset[str]:
        """Instances whose last call is under way, or ended after the look that is to be decided on began.

        `looked_at` is the monotonic time at which the look at the instance's backend began, by instance id.
        """
        recent = (i for i, ended in self._ended_at.items() if looked_at.get(i, 0.0) <= ended)
        return frozenset(self._tasks) | frozenset(recent)

    def create(self, backend: Backend, deployment: str, instance: Instance, spec: VariantSpec, epoch: int) -> None:
        """Start the current attempt of `instance`, which was recorded as an intent."""
        attempt = instance.attempt
        if attempt is None:
            raise RuntimeError(f"{instance.name} has no attempt to create")
        spec = spec.placed(attempt.placement)

        async def call() -> None:
            try:
                rendered = await asyncio.to_thread(self._render, deployment, instance.name, attempt.id, spec, epoch)
                await backend.create(rendered, attempt.id)
                if spec.backend == CONTAINERS:
                    task = asyncio.create_task(self._notice(instance.id, spec))
                    self._aside.add(task)
                    task.add_done_callback(self._aside.discard)
            except (BackendRefused, StokerError) as error:
                self.refused[attempt.id] = error
            except OSError as error:
                self.refused[attempt.id] = BackendRefused(f"{error.strerror}: {error.filename}", error.errno)

        self._run(instance.id, call())

    def stop(self, backend: Backend, action: rules.Stop) -> None:
        """Ask the attempt to end."""

        async def call() -> None:
            await backend.stop(action.attempt_id, rules.STOP_GRACE_S)
            self.stops_sent.add(action.attempt_id)

        self._run(action.instance_id, call())

    def release(self, backend: Backend, action: rules.Release) -> None:
        """Let the backend forget an ended attempt."""

        async def call() -> None:
            await backend.delete(action.attempt_id)
            self.released.add(action.attempt_id)

        self._run(action.instance_id, call())

    def forget(self, instances: AbstractSet[str], attempts: AbstractSet[str]) -> None:
        """Drop what is known of instances and attempts that are no longer of interest."""
        for instance_id in self._ended_at.keys() - instances:
            del self._ended_at[instance_id]
        for attempt_id in self.refused.keys() - attempts:
            del self.refused[attempt_id]
        self.stops_sent &= attempts

    async def close(self) -> None:
        """Let calls under way come to their end."""
        await asyncio.gather(*self._tasks.values(), *self._aside, return_exceptions=True)

    def _run(self, instance_id: str, call: Coroutine[None, None, None]) -> None:
        async def run() -> None:
            try:
                await call
            except CouldNotLook as error:
                log.warning("instance %s: %s", instance_id, error)
            except Exception:
                log.exception("instance %s: a call to its backend failed", instance_id)
            finally:
                del self._tasks[instance_id]
                self._ended_at[instance_id] = time.monotonic()
                self._done()

        self._tasks[instance_id] = asyncio.create_task(run())

    async def _notice(self, instance_id: str, spec: VariantSpec) -> None:
        """See whether the tag of the image still stands for what was started, which nothing waits for."""
        preset = self._presets.get(spec.engine)
        check = None if preset is None else await asyncio.to_thread(moved, spec, preset)
        if check is not None:
            self.moved.append((instance_id, check.detail))
            self._done()

    def _render(self, deployment: str, instance: str, attempt_id: str, spec: VariantSpec, epoch: int) -> InstanceSpec:
        preset = self._presets.get(spec.engine)
        if preset is None:
            raise StokerError("CONFIG_INVALID", f"There is no engine `{spec.engine}` any more.")
        directory = self._home.attempts / attempt_id
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = replace(spec, model=at_hand(spec.model, self._home) or spec.model)
        if preset.share and spec.smart is not None and spec.share is None:
            spec = replace(spec, share=share_on(spec, self._home))
        command = render_command(preset, spec, deployment, sys.executable, compute_threads(os.cpu_count()))
        own = {preset.key_env: engine_key(directory)} if preset.key_env else {}
        return InstanceSpec(
            owner=self._owner,
            deployment=deployment,
            instance=instance,
            epoch=epoch,
            model=spec.model.name,
            engine=spec.engine,
            argv=command,
            directory=str(directory),
            env={**preset.environment, **self._env},
            secrets={**own, **read_environment(self._home, spec)},
            memory_limit=spec.memory_limit,
            container=self._container(preset, spec),
        )

    def _container(self, preset: Preset, spec: VariantSpec) -> Container | None:
        """What the engine runs in, on the backend that has containers."""
        if spec.backend != CONTAINERS or preset.container is None:
            return None
        box = preset.container
        mounts = tuple(Mount(source, target) for source, target in mounted(spec.model))
        indexes, count = gpu_choice(spec.gpus)
        return Container(
            images=admit(self._home, spec, box.images_for(spec)),
            port=box.port,
            mounts=mounts,
            gpus=indexes,
            gpu_count=count,
            user=_reader(spec.model),
            cache=None if mounts else box.cache,
            shm_bytes=box.shm_bytes,
        )


def _reader(model: ModelRef) -> str | None:
    """The user who may read the weights, where not everybody may: an image's own user is a stranger here."""
    if model.source == "hub" and not model.files:
        return None
    found = Path(model.path).stat()
    return None if found.st_mode & stat.S_IROTH else f"{found.st_uid}:{found.st_gid}"


def engine_key(directory: Path) -> str:
    """The API key of the attempt in `directory`, made on first use; the gateway reads the same file."""
    path = directory / "key"
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        pass
    partial = directory / "key.partial"
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
    partial.replace(path)
    return path.read_text("ascii")


def read_environment(home: Home, spec: VariantSpec) -> dict[str, str]:
    """The variables that the variant was launched with (`--env`), from their file outside the store.

    Raises CONFIG_INVALID when it is not there any more, or damaged.
    """
    try:
        return read_values(home, spec.env_file)
    except (OSError, ValueError) as error:
        raise StokerError("CONFIG_INVALID", f"The values of {', '.join(spec.env_names)} are lost: {error}.") from error
