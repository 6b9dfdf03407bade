"""A real image registry on loopback (Debian's docker-registry), and images that are put into it by hand."""

import hashlib
import json
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx2
import pytest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
USER = ("ada", "a-password-for-the-test")


@dataclass(frozen=True, slots=True)
class TestRegistry:
    """A running registry at `host`, and what it wants to hear from whoever calls."""

    __test__ = False

    host: str
    headers: dict[str, str]

    def blob(self, repository: str, content: bytes) -> str:
        """Put a blob there; its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        started = httpx2.post(self._url(repository, "blobs/uploads/"), headers=self.headers)
        done = httpx2.put(f"{started.headers['Location']}&digest={digest}", content=content, headers=self.headers)
        assert done.status_code == 201, done.text
        return digest

    def manifest(self, repository: str, name: str, document: dict[str, Any]) -> str:
        """Put a manifest there under a tag; its digest."""
        kind = {"Content-Type": document.get("mediaType", MANIFEST), **self.headers}
        done = httpx2.put(self._url(repository, f"manifests/{name}"), content=json.dumps(document), headers=kind)
        assert done.status_code == 201, done.text
        return str(done.headers["Docker-Content-Digest"])

    def image(self, repository: str, tag: str, words: str = "") -> str:
        """Put an image there that cannot run, whose content depends on `words`; its digest."""
        rootfs = {"type": "layers", "diff_ids": []}
        config = {"architecture": "amd64", "os": "linux", "author": words, "rootfs": rootfs}
        return self.manifest(repository, tag, self.document(repository, [], json.dumps(config).encode()))

    def document(self, repository: str, layers: list[dict[str, Any]], config: bytes = b"{}") -> dict[str, Any]:
        """A manifest of `layers`, its configuration put there."""
        described = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)}
        described["digest"] = self.blob(repository, config)
        return {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}

    def layer(self, repository: str, content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        """Put a blob there; how a manifest speaks of it."""
        return {"mediaType": kind, "size": len(content), "digest": self.blob(repository, content), **more}

    def _url(self, repository: str, rest: str) -> str:
        return f"http://{self.host}/v2/{repository}/{rest}"


@contextmanager
def registry(folder: Path, *, locked: bool = False) -> Iterator[TestRegistry]:
    """A registry for the length of the block, with a password if `locked`; skips where the program is not installed."""
    if shutil.which("docker-registry") is None:
        pytest.skip("no image registry on this machine (Debian: docker-registry)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": host},
    }
    if locked:
        hashed = bcrypt.hashpw(USER[1].encode(), bcrypt.gensalt(4, b"2a")).decode().replace("$2a$", "$2y$")
        (folder / "passwords").write_text(f"{USER[0]}:{hashed}\n")
        settings["auth"] = {"htpasswd": {"realm": "stoker", "path": str(folder / "passwords")}}
    (folder / "registry.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log)
    try:
        token = b64encode(":".join(USER).encode()).decode()
        headers = {"Authorization": f"Basic {token}"} if locked else {}
        deadline = time.monotonic() + 60
        while not _up(host):
            assert time.monotonic() < deadline, (folder / "registry.log").read_text()
            time.sleep(0.05)
        yield TestRegistry(host, headers)
    finally:
        process.terminate()
        process.wait(60)


def _up(host: str) -> bool:
    try:
        return httpx2.get(f"http://{host}/v2/", timeout=5).status_code in (200, 401)
    except httpx2.HTTPError:
        return False
