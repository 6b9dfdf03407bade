"""Whether what lies outside this installation can be reached: the Docker daemon, the model hub. Blocking, seconds."""

import http.client
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from app.launch.checks import Check, passed
from app.launch.machine import DOCKER_SOCKET

_PATIENCE_S = 4.0
_HUB = "https://huggingface.co"


def examine_outside() -> Iterator[Check]:
    """Docker, then the hub. Neither is needed for a model that is here and runs as a process, so neither can fail."""
    yield check_docker(os.environ.get("DOCKER_HOST", ""))
    yield check_hub()


def check_docker(host: str) -> Check:
    """Whether a daemon answers at `host` (as `DOCKER_HOST` has it, empty for the usual socket)."""
    parts = urlsplit(host or f"unix://{DOCKER_SOCKET}")
    if parts.scheme == "ssh":
        return passed("docker", f"{host}, looked at when something is launched there")
    if parts.scheme == "unix" and not Path(parts.path).exists():
        return passed("docker", f"no daemon at {parts.path}; only containers need one")
    try:
        version = _ask_docker(parts.path if parts.scheme == "unix" else None, parts.hostname or "", parts.port or 2375)
    except PermissionError:
        remedy = "sudo usermod -aG docker $USER, then log in again."
        return Check("docker", "warn", f"{parts.path} may not be opened", "CONFIG_INVALID", remedy)
    except (OSError, http.client.HTTPException) as error:
        where = host or parts.path
        remedy = "Start it: sudo systemctl start docker."
        return Check("docker", "warn", f"{where} does not answer: {error}", "CONFIG_INVALID", remedy)
    return passed("docker", f"{host or parts.path}, API {version}")


def check_hub() -> Check:
    """Whether the model hub answers, and whether there is a token to show it."""
    endpoint = os.environ.get("HF_ENDPOINT") or _HUB
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return passed("hub", "not asked: HF_HUB_OFFLINE is set")
    remedy = "Models that are here still run; check network and proxy, or set HF_ENDPOINT to a mirror."
    if not endpoint.startswith(("http://", "https://")):
        return Check("hub", "warn", f"HF_ENDPOINT is no address: {endpoint}", "OFFLINE", remedy)
    try:
        with urllib.request.urlopen(  # noqa: S310 # only http and https get here
            urllib.request.Request(endpoint, method="HEAD"),  # noqa: S310
            timeout=_PATIENCE_S,
        ):
            pass
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Check("hub", "warn", f"{endpoint} cannot be reached: {error}", "OFFLINE", remedy)
    known = "with a token" if _token() else "no token: models that ask for consent stay closed (`hf auth login`)"
    return passed("hub", f"{endpoint} answers, {known}")


def _token() -> bool:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return bool(os.environ.get("HF_TOKEN")) or (home / "token").is_file()


def _ask_docker(path: str | None, host: str, port: int) -> str:
    """The version of the API that a daemon speaks, from its answer to a ping."""
    with closing(http.client.HTTPConnection(host or "localhost", port, timeout=_PATIENCE_S)) as connection:
        if path is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_PATIENCE_S)
            connection.sock.connect(path)
        connection.request("GET", "/_ping")
        return connection.getresponse().headers.get("Api-Version", "unknown")
