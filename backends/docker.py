"""Engines in containers, on the Docker daemon of this machine or of another.

What runs is what the daemon lists under our owner label. Beside that only the attempts' directories say something: of
starts that left no container, and of what was let go of. So nothing is lost with the server, and a host that cannot be
reached changes nothing.
"""

import asyncio
import errno
import hashlib
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from docker.errors import APIError, DockerException, NotFound

from backends.base import (
    Backend,
    BackendRefused,
    Capabilities,
    CouldNotLook,
    Exit,
    HostFacts,
    InstanceSpec,
    Resource,
)
from backends.docker_attempt import ContainerAttempt
from backends.docker_host import UNREACHED, DockerHost
from backends.docker_log import Follower
from backends.docker_spec import LABEL, container_name, wanted
from backends.docker_start import Cancelled, Preparation, StartFailed, bring_up, remove, said

T = TypeVar("T")
_START_TIMEOUT_S = 600
"""How long the daemon may take for one answer while it starts something: it unpacks images and weights meanwhile."""
_THREADS = 8
_ENDED = ("exited", "dead")
_BY_SIGNAL = range(128 + 1, 128 + 65)
_NOT_RUN = {126: errno.EACCES, 127: errno.ENOENT}
"""With what a shell ends that could not run a program (POSIX), and so the container whose first process ours is."""

log = logging.getLogger(__name__)


class DockerBackend(Backend):
    """Attempts under `root`, of the installation `owner`, in containers of the daemon at `address`.

    `address` is `unix://`, `context://`, `ssh://` or `tcp://` (with TLS); None is this machine's daemon, and nothing is
    reached at an empty one. `host` is the name that the host is known by here, and `sockets` a short path for the
    sockets that lead to it.
    """

    capabilities = Capabilities(stop_frees="compute", logs="directory", min_poll_s=0.4)

    def __init__(
        self, root: Path, owner: str, address: str | None = None, host: str = "local", sockets: Path | None = None
    ) -> None:
        self._root = root.absolute()
        self._owner = owner
        self._name = host
        self._host = DockerHost(address, sockets or _sockets(self._root))
        self._pool = ThreadPoolExecutor(_THREADS, f"docker-{host}")
        self._lock = threading.Lock()
        self._starting: dict[str, Preparation] = {}
        self._followers: dict[str, Follower] = {}
        self._kill_at: dict[str, float] = {}
        self._without: set[str] = set()

    async def probe(self) -> HostFacts:
        return await self._call(lambda: self._host.facts(self._host.shared().info()))

    async def create(self, spec: InstanceSpec, key: str) -> None:
        await self._call(lambda: self._create(spec, key))

    async def observe(self) -> tuple[Resource, ...]:
        return await self._call(self._observe)

    async def stop(self, key: str, grace_s: float) -> None:
        await self._call(lambda: self._stop(key, grace_s))

    async def delete(self, key: str) -> None:
        await self._call(lambda: self._delete(key))

    async def close(self) -> None:
        await self._call(self._close)

    async def _call(self, verb: Callable[[], T]) -> T:
        def translated() -> T:
            try:
                return verb()
            except DockerException as error:
                raise CouldNotLook(f"{self._name}: {said(error)}") from error
            except UNREACHED as error:
                self._host.lost()
                raise CouldNotLook(f"{self._name}: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._pool, translated)

    def _create(self, spec: InstanceSpec, key: str) -> None:
        wanted(spec)
        attempt = ContainerAttempt(self._root / key)
        with self._lock:
            facts = attempt.facts
            if facts is not None and facts.owner != self._owner:
                raise BackendRefused(f"{key} belongs to another installation")
            if key in self._starting or attempt.released:
                return
            if attempt.exit is not None:
                self._without.add(key)
                return
            found = self._find_named(container_name(spec, key))
            if found is not None and found["Config"]["Labels"].get(LABEL + "owner") != self._owner:
                raise BackendRefused(f"{container_name(spec, key)} belongs to another installation")
            if found is not None and found["State"]["Status"] != "created":
                return
            now = time.time_ns() // 1_000
            attempt.prepare(spec, self._name, now)
            preparation = self._starting[key] = Preparation(spec, now)
        left_over = None if found is None else str(found["Id"])
        threading.Thread(target=self._start, args=(key, preparation, left_over), daemon=True).start()

    def _start(self, key: str, preparation: Preparation, left_over: str | None) -> None:
        """Bring an attempt up, in a thread of its own. A host that goes away meanwhile is asked again later."""
        attempt = ContainerAttempt(self._root / key)
        try:
            api = self._host.client(_START_TIMEOUT_S)
            try:
                if left_over is not None:
                    remove(api, left_over)
                bring_up(api, preparation, key, remote=self._host.remote, address=self._host.publish_at)
            finally:
                api.close()
        except (StartFailed, Cancelled) as error:
            attempt.end(Exit(time.time_ns() // 1_000, error=str(error) or "stopped before it was up"))
            self._without.add(key)
        except (DockerException, CouldNotLook, *UNREACHED) as error:
            log.warning("%s: the start of %s was broken off: %s", self._name, key, error)
        finally:
            with self._lock:
                del self._starting[key]

    def _observe(self) -> tuple[Resource, ...]:
        with self._lock:
            starting = dict(self._starting)
        api = self._host.shared()
        where = {"label": [f"{LABEL}owner={self._owner}", f"{LABEL}key"]}
        rows = {row["Labels"][LABEL + "key"]: row for row in api.containers(all=True, filters=where)}
        found = {key: resource for key, row in rows.items() if (resource := self._resource(api, key, row)) is not None}
        for key, preparation in starting.items():
            found.setdefault(key, self._prepared(key, preparation))
        for key in self._without - found.keys():
            if (resource := self._without_container(key)) is not None:
                found[key] = resource
        for key in self._followers.keys() - rows.keys():
            self._followers.pop(key).close()
        return tuple(found.values())

    def _prepared(self, key: str, preparation: Preparation) -> Resource:
        spec = preparation.spec
        return Resource(
            key,
            spec.deployment,
            spec.instance,
            spec.epoch,
            "preparing",
            preparation.began_at,
            progress=preparation.progress,
        )

    def _without_container(self, key: str) -> Resource | None:
        attempt = ContainerAttempt(self._root / key)
        facts, how = attempt.facts, attempt.exit
        if facts is None or how is None or attempt.released:
            self._without.discard(key)
            return None
        return Resource(key, facts.deployment, facts.instance, facts.epoch, "exited", facts.created_at, exit=how)

    def _resource(self, api: Any, key: str, row: dict[str, Any]) -> Resource | None:
        """What there is to report of one container, None if it never ran or was let go of."""
        attempt = ContainerAttempt(self._root / key)
        if row["State"] == "created" or attempt.released:
            return None
        labels = row["Labels"]
        what = {
            "key": key,
            "deployment": labels[LABEL + "deployment"],
            "instance": labels[LABEL + "replica"],
            "epoch": int(labels[LABEL + "epoch"]),
            "container": row["Id"][:12],
        }
        if (how := attempt.exit) is not None:
            self._without.add(key)
            return Resource(**what, presence="exited", started_at=int(row["Created"]) * 1_000_000, exit=how)
        try:
            state = api.inspect_container(row["Id"])
        except NotFound:
            return None
        started_at = _microseconds(state["State"]["StartedAt"])
        follower = self._follow(key, row["Id"], attempt)
        if state["State"]["Status"] in _ENDED:
            if not follower.done.is_set():
                return Resource(**what, presence="alive", started_at=started_at)
            how = self._ended(api, row["Id"], state["State"], (state["Config"]["Cmd"] or [""])[0])
            attempt.end(how)
            self._without.add(key)
            return Resource(**what, presence="exited", started_at=started_at, exit=how)
        self._enforce(api, key, row["Id"])
        pid = int(state["State"]["Pid"]) or None
        endpoint = self._endpoint(key, attempt, state)
        return Resource(**what, presence="alive", started_at=started_at, pid=pid, endpoint=endpoint)

    def _follow(self, key: str, container: str, attempt: ContainerAttempt) -> Follower:
        follower = self._followers.get(key)
        if follower is None:
            attempt.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            follower = Follower(self._host.client, container, attempt.path, attempt.secrets)
            self._followers[key] = follower
        return follower

    def _endpoint(self, key: str, attempt: ContainerAttempt, state: dict[str, Any]) -> str | None:
        """The engine's base URL here. The port on the host is another one after every start."""
        bound = [b for bindings in (state["NetworkSettings"]["Ports"] or {}).values() for b in bindings or ()]
        if not bound:
            return None
        port = int(bound[0]["HostPort"])
        before = attempt.forward
        url, local = self._host.reach(port, None if before is None else before[0])
        if local is not None and before != (local, port):
            attempt.note_forward(local, port)
        return url

    def _enforce(self, api: Any, key: str, container: str) -> None:
        """Kill what has been asked to end and has had its time."""
        if time.monotonic() >= self._kill_at.get(key, float("inf")):
            try:
                api.kill(container, "SIGKILL")
            except APIError as error:
                log.info("%s: %s could not be killed: %s", self._name, key, said(error))

    def _ended(self, api: Any, container: str, state: dict[str, Any], program: str) -> Exit:
        """How a container that ran `program` ended, from what the daemon says of it and from what it saw happen."""
        at, code = _microseconds(state["FinishedAt"]), int(state["ExitCode"])
        oom = bool(state["OOMKilled"]) or self._saw_oom(api, container, state)
        if (number := _NOT_RUN.get(code)) is not None:
            return Exit(at, code=code, error=f"{os.strerror(number)}: {program}", errno=number)
        if code in _BY_SIGNAL:
            return Exit(at, signal=code - 128, oom=oom)
        return Exit(at, code=code, oom=oom and code != 0, error=state["Error"] or None)

    def _saw_oom(self, api: Any, container: str, state: dict[str, Any]) -> bool:
        """Whether memory ran out in it: where only a child was killed, the daemon's event is all that says so."""
        if not state["ExitCode"]:
            return False
        # Up to now, so that the daemon does not wait for what is still to come.
        span = {"since": _microseconds(state["StartedAt"]) // 1_000_000, "until": f"{time.time():.6f}"}
        return any(True for _ in api.events(**span, filters={"container": container, "event": "oom"}, decode=True))

    def _stop(self, key: str, grace_s: float) -> None:
        with self._lock:
            if (preparation := self._starting.get(key)) is not None:
                preparation.cancelled.set()
                return
        api = self._host.shared()
        row = self._find(api, key)
        if row is None or row["State"] in (*_ENDED, "created"):
            return
        asked = key in self._kill_at
        deadline = time.monotonic() + grace_s
        self._kill_at[key] = min(deadline, self._kill_at.get(key, deadline))
        try:
            if row["State"] == "paused":
                api.unpause(row["Id"])
            if grace_s <= 0:
                api.kill(row["Id"], signal.SIGKILL.name)
            elif not asked:
                api.kill(row["Id"], signal.SIGTERM.name)
        except APIError as error:
            if error.status_code not in (404, 409):  # it has ended meanwhile
                raise

    def _delete(self, key: str) -> None:
        attempt = ContainerAttempt(self._root / key)
        facts = attempt.facts
        if facts is not None and facts.owner != self._owner:
            return
        with self._lock:
            if key in self._starting:
                raise BackendRefused(f"{key} still starts")
        api = self._host.shared()
        row = self._find(api, key)
        if row is not None and row["State"] not in (*_ENDED, "created"):
            raise BackendRefused(f"{key} still runs")
        if row is not None:
            remove(api, row["Id"])
        if (forward := attempt.forward) is not None and not attempt.released:
            self._host.leave(*forward)
        if facts is not None:
            attempt.release()
        self._without.discard(key)
        self._kill_at.pop(key, None)

    def _close(self) -> None:
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()
        self._host.close()

    def _find(self, api: Any, key: str) -> Any:
        """The container of one attempt of ours."""
        where = {"label": [f"{LABEL}owner={self._owner}", f"{LABEL}key={key}"]}
        return next(iter(api.containers(all=True, filters=where)), None)

    def _find_named(self, name: str) -> Any:
        try:
            return self._host.shared().inspect_container(name)
        except NotFound:
            return None


def _sockets(root: Path) -> Path:
    """A path short enough for sockets, of this installation alone."""
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"stoker-{digest}"


def _microseconds(stamp: str) -> int:
    """A time as Docker spells it (RFC 3339 with nanoseconds), in UTC microseconds."""
    moment = datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    fraction = stamp[19:].partition("Z")[0].partition("+")[0].lstrip(".")
    return int(moment.timestamp()) * 1_000_000 + int(f"{fraction[:6]:0<6}")
