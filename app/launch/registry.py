"""Asking an image registry, as Docker does, but without pulling anything: what a tag is, and small blobs. Blocking."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from app.domain.failures import StokerError
from app.domain.images import Reference
from app.domain.text import safe

_TIMEOUT_S = 10.0
_MOST_BYTES = 4_000_000
_HUB = ("docker.io", "registry-1.docker.io")
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_IMAGES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ACCEPT = ", ".join((*_INDEXES, *_IMAGES))
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3})(:\d+)?")


class Registry:
    """The registry of `reference`. Every call raises IMAGE_PULL_FAILED when there is no good answer."""

    def __init__(self, reference: Reference) -> None:
        host = _HUB[1] if reference.registry == _HUB[0] else reference.registry
        # As Docker does: what is on this machine needs no TLS.
        scheme = "http" if _LOOPBACK.fullmatch(host) else "https"
        self._reference = reference
        self._base = f"{scheme}://{host}/v2/{reference.repository}"
        self._client = httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=True)
        self._authorization: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def digest(self) -> str:
        """What the reference is now: the digest of the manifest that its tag leads to."""
        return self._manifest(self._reference.digest or self._reference.tag or "latest")[0]

    def manifest(self, name: str) -> dict[str, Any] | None:
        """The manifest under a tag or digest, None if there is no such one."""
        found = self._get(f"{self._base}/manifests/{name}", _ACCEPT)
        if found is None:
            return None
        self._check(name, found)
        return _parsed(found)

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """The manifests that say that they are about `digest`, where the registry knows, else from the tag for it."""
        found = self._get(f"{self._base}/referrers/{digest}", _INDEXES[0])
        index = self.manifest(digest.replace(":", "-")) if found is None else _parsed(found)
        listed = (index or {}).get("manifests")
        return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []

    def blob(self, digest: str) -> bytes:
        """The content of that digest."""
        found = self._get(f"{self._base}/blobs/{digest}", "*/*")
        if found is None:
            raise self._failed(f"the blob {digest} is not there")
        self._check(digest, found)
        return found

    def _manifest(self, name: str) -> tuple[str, bytes]:
        found = self._get(f"{self._base}/manifests/{name}", _ACCEPT)
        if found is None:
            raise self._failed("manifest unknown")
        self._check(name, found)
        return f"sha256:{hashlib.sha256(found).hexdigest()}", found

    def _check(self, name: str, content: bytes) -> None:
        if name.startswith("sha256:") and name != f"sha256:{hashlib.sha256(content).hexdigest()}":
            raise self._failed(f"what it gives as {name} has another digest")

    def _get(self, url: str, accept: str) -> bytes | None:
        try:
            answer = self._ask(url, accept)
            if answer.status_code == 401 and not self._authorization:
                self._authorization = self._authorize(answer.headers.get("WWW-Authenticate", ""))
                answer = self._ask(url, accept)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._failed(str(error) or type(error).__name__) from error
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise self._failed("unauthorized: authentication required")
        if answer.status_code != 200:
            raise self._failed(f"it answers with status {answer.status_code}")
        return answer.content

    def _ask(self, url: str, accept: str) -> httpx2.Response:
        headers = {"Accept": accept, **self._authorization}
        with self._client.stream("GET", url, headers=headers) as answer:
            content = b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise self._failed(f"it answers with more than {_MOST_BYTES:,} bytes")
            return httpx2.Response(answer.status_code, headers={**_kept(answer.headers)}, content=content)

    def _authorize(self, challenge: str) -> dict[str, str]:
        """The header that answers a challenge, with what the user has logged in as, if so."""
        user = _credentials(self._reference.registry)
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return {} if user is None else {"Authorization": f"Basic {b64encode(':'.join(user).encode()).decode()}"}
        values = dict(_CHALLENGE.findall(rest))
        realm = values.pop("realm", "")
        if kind.lower() != "bearer" or not realm.startswith(("https://", self._base.partition("/v2/")[0])):
            return {}
        answer = self._client.get(realm, params=values, auth=user)
        token = _parsed(answer.content) if answer.status_code == 200 else {}
        found = token.get("token") or token.get("access_token")
        return {"Authorization": f"Bearer {found}"} if isinstance(found, str) else {}

    def _failed(self, why: str) -> StokerError:
        return StokerError("IMAGE_PULL_FAILED", f"`{self._reference}`: {safe(why, 300)}.")


def _credentials(registry: str) -> tuple[str, str] | None:
    """What `docker login` has kept for the registry, in its own file or with its helper."""
    from docker import auth
    from docker.errors import DockerException

    try:
        found = auth.load_config().resolve_authconfig(registry)
    except DockerException:
        return None
    if not found or not found.get("Username", found.get("username")):
        return None
    return str(found.get("Username", found.get("username"))), str(found.get("Password", found.get("password")))


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() == "www-authenticate"}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
