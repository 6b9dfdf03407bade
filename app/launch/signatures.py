"""Signatures of images, as cosign leaves them in the registry, checked with public keys that the operator trusts.

Both forms are known: the older one, a manifest under the tag `sha256-<digest>.sig` whose layers are what was signed
(cosign's SIGNATURE_SPEC), and the bundle of cosign 3, a referrer of the image that holds a DSSE envelope with an in-
toto statement. The signature is looked for on the digest that is asked for, which for several platforms is the index.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.domain.failures import StokerError
from app.domain.images import Reference, not_signed
from app.launch.registry import Registry

_SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIMPLE_TYPE = "cosign container image signature"
_ANNOTATION = "dev.cosignproject.cosign/signature"
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_MOST = 50
"""Signatures that are looked at: a registry may list as many as it likes."""


def require_signature(registry: Registry, reference: Reference, keys: Sequence[str]) -> None:
    """Return if a key of `keys` (paths of PEM files) has signed `reference`, which has a digest.

    Raises IMAGE_NOT_ALLOWED, IMAGE_PULL_FAILED if the registry cannot be asked, CONFIG_INVALID for a key.
    """
    trusted = [_load(path) for path in keys]
    met = 0
    for signature, signed, digests in _signatures(registry, reference.digest or ""):
        met += 1
        if reference.digest in digests and any(_made(key, signature, signed) for key in trusted):
            return
    why = "none of its signatures was made with a trusted key." if met else "it is not signed."
    raise not_signed(reference, why)


def check_keys(keys: Sequence[str]) -> None:
    """Raise CONFIG_INVALID unless every one of `keys` can be used."""
    for path in keys:
        _load(path)


def _signatures(registry: Registry, digest: str) -> Iterator[tuple[bytes, bytes, set[str]]]:
    """Every signature: itself, what was signed, and the digests that this is about."""
    simple = registry.manifest(f"{digest.replace(':', '-')}.sig") or {}
    for layer in _list(simple, "layers")[:_MOST]:
        signature = _decoded(_dict(layer, "annotations").get(_ANNOTATION))
        if layer.get("mediaType") == _SIMPLE and signature and isinstance(layer.get("digest"), str):
            signed = registry.blob(layer["digest"])
            critical = _dict(_json(signed), "critical")
            about = _dict(critical, "image").get("docker-manifest-digest")
            yield signature, signed, {str(about)} if critical.get("type") == _SIMPLE_TYPE else set()
    for referrer in registry.referrers(digest)[:_MOST]:
        if str(referrer.get("artifactType", "")).startswith(_BUNDLE):
            yield from _bundled(registry, str(referrer.get("digest")))


def _bundled(registry: Registry, digest: str) -> Iterator[tuple[bytes, bytes, set[str]]]:
    for layer in _list(registry.manifest(digest) or {}, "layers")[:_MOST]:
        envelope = _dict(_json(registry.blob(str(layer.get("digest")))), "dsseEnvelope")
        payload, kind = _decoded(envelope.get("payload")), str(envelope.get("payloadType")).encode()
        subjects = _list(_json(payload), "subject")
        about = {f"sha256:{_dict(subject, 'digest').get('sha256')}" for subject in subjects}
        # What DSSE signs is the payload with its type, each after its length (its protocol.md, PAE).
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        for each in _list(envelope, "signatures"):
            yield _decoded(each.get("sig")), signed, about


def _load(path: str) -> Any:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        text = "Signatures need the package `cryptography`."
        raise StokerError("CONFIG_INVALID", text, "Install it: `pip install 'stoker[signed]'`.") from error
    try:
        return load_pem_public_key(Path(path).expanduser().read_bytes())
    except (OSError, ValueError) as error:
        text = f"`images.keys`: {path} is no public key: {error}."
        raise StokerError("CONFIG_INVALID", text, "Give the `cosign.pub` of whoever signs.") from error


def _made(key: Any, signature: bytes, signed: bytes) -> bool:
    """Whether the private half of `key` made `signature` of `signed`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, ec.ECDSA(SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
            case rsa.RSAPublicKey():
                key.verify(signature, signed, padding.PKCS1v15(), SHA256())
            case _:
                return False
    except InvalidSignature:
        return False
    return True


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _dict(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _list(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = data.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
