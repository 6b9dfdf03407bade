"""From an attempt to the container that Docker is asked for: exactly what is sent, and the labels it is known by."""

import hashlib
import io
import json
import shlex
import tarfile
from typing import Any

from docker import types

from backends.base import BackendRefused, Container, InstanceSpec

LABEL = "io.stoker."
SCHEMA = "1"
SECRETS = "/run/stoker"
"""Where the container finds its environment, in a file that its first process reads and empties."""
WEIGHTS_TARGET = "/models"
CACHE_VOLUME = "stoker-cache"
# Emptied once read; a container that somebody else starts again would run without its key, and so does not run.
_ENTRY = (
    f"set -a; . {SECRETS}/environment; set +a; : >{SECRETS}/environment; "
    '[ "$STOKER_ATTEMPT" ] || { echo "this container was started by stoker, which starts it once" >&2; exit 1; }; '
    'exec "$@"'
)
_LOG = {"max-size": "10m", "max-file": "3"}
_STACK_BYTES = 67_108_864


def container_name(spec: InstanceSpec, key: str) -> str:
    """What the attempt's container is called: one name an attempt, so that it cannot be created twice."""
    return f"stoker-{spec.instance}-{key}"


def spec_hash(spec: InstanceSpec) -> str:
    """Tells attempts of the same configuration from others; nothing secret goes into it."""
    container = "" if spec.container is None else repr(spec.container)
    text = json.dumps([spec.engine, spec.model, spec.argv, sorted({*spec.env, *spec.secrets}), container])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def labels(spec: InstanceSpec, key: str) -> dict[str, str]:
    """What says whose the container is, and what for."""
    values = {
        "owner": spec.owner,
        "key": key,
        "deployment": spec.deployment,
        "replica": spec.instance,
        "epoch": str(spec.epoch),
        "spec-hash": spec_hash(spec),
        "schema": SCHEMA,
    }
    return {LABEL + name: value for name, value in values.items()}


def wanted(spec: InstanceSpec) -> Container:
    """The container's part of `spec`. Raises BackendRefused where there is none."""
    if spec.container is None:
        raise BackendRefused(f"{spec.engine} has no image to run in")
    return spec.container


def create_options(
    api: Any, spec: InstanceSpec, key: str, image: str, volume: str | None, address: str
) -> dict[str, Any]:
    """The arguments of `APIClient.create_container`. `volume` holds the weights if they are not mounted from here;
    `address` is the one on the host at which the engine's port is published."""
    container = wanted(spec)
    port = f"{container.port}/tcp"
    if volume is None:
        mounts = [types.Mount(m.target, m.source, "bind", read_only=True) for m in container.mounts]
    else:
        mounts = [types.Mount(WEIGHTS_TARGET, volume, "volume", read_only=True)]
    if container.cache is not None:
        mounts.append(types.Mount(container.cache, CACHE_VOLUME, "volume"))
    host: dict[str, Any] = {
        "init": True,
        "mounts": mounts,
        "port_bindings": {port: (address,)},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "log_config": types.LogConfig(type=types.LogConfig.types.JSON, config=dict(_LOG)),
        "restart_policy": {"Name": "no"},
    }
    if spec.memory_limit is not None:
        host |= {"mem_limit": spec.memory_limit, "memswap_limit": spec.memory_limit}
    if container.shm_bytes is not None:
        host["shm_size"] = container.shm_bytes
    if container.gpus or container.gpu_count is not None:
        host["device_requests"] = [_devices(container)]
        host["ulimits"] = [types.Ulimit(name="memlock", soft=-1, hard=-1)]
        host["ulimits"].append(types.Ulimit(name="stack", soft=_STACK_BYTES, hard=_STACK_BYTES))
    return {
        "name": container_name(spec, key),
        "image": image,
        "entrypoint": ["/bin/sh", "-c", _ENTRY, "sh"],
        "command": list(spec.argv),
        "user": container.user,
        "ports": [container.port],
        "labels": labels(spec, key),
        "host_config": api.create_host_config(**host),
    }


def _devices(container: Container) -> types.DeviceRequest:
    if container.gpu_count is not None or container.gpus == ("all",):
        count = -1 if container.gpu_count is None else container.gpu_count
        return types.DeviceRequest(count=count, capabilities=[["gpu"]])
    return types.DeviceRequest(device_ids=list(container.gpus), capabilities=[["gpu"]])


def environment_archive(spec: InstanceSpec, key: str) -> bytes:
    """A tar archive with the file that the container's first process takes its environment from.

    Whatever user the image runs as may read and empty it; from outside nobody but root gets there.
    """
    values = {**spec.env, **spec.secrets, "STOKER_ATTEMPT": key}
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo(SECRETS.lstrip("/"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        file = tarfile.TarInfo(f"{SECRETS.lstrip('/')}/environment")
        data = text.encode()
        file.size, file.mode = len(data), 0o666
        tar.addfile(file, io.BytesIO(data))
    return buffer.getvalue()
