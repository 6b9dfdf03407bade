"""Images: how they are referred to, and which of them a policy lets in."""

import fnmatch
import re
from dataclasses import dataclass, replace
from typing import Literal

from app.domain.failures import StokerError
from app.domain.text import safe

Policy = Literal["any", "allow", "pinned", "signed"]
POLICIES: tuple[Policy, ...] = ("any", "allow", "pinned", "signed")
LOCAL = "localhost"
"""The registry of images that were built on the host and are in no registry."""
_HUB = "docker.io"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<registry>[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{{1,5}})?)/)?(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image: `registry/repository:tag@digest`. `tag` is None where a digest says all."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def pinned(self) -> str:
        """What is asked of a host: by digest where one is known."""
        return f"{self.name}@{self.digest}" if self.digest else str(self)

    def at(self, digest: str) -> "Reference":
        """The same, as the content that `digest` names."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """The image that `text` names, in full: Docker's own registry and the tag `latest` are what is left out.

    Raises CONFIG_INVALID.
    """
    first, slash, _ = text.partition("/")
    # As Docker decides it: only what looks like a host is a registry.
    host = slash and ("." in first or ":" in first or first == LOCAL)
    match = _REFERENCE.fullmatch(text) if host else _REFERENCE.fullmatch(f"{_HUB}/{text}")
    if match is None or len(text) > 512:
        text = f"`{safe(text, 120)}` names no image."
        raise StokerError("CONFIG_INVALID", text, "Give REGISTRY/REPOSITORY:TAG, or …@sha256:DIGEST.")
    repository, digest = match["repository"], match["digest"]
    if match["registry"] == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    tag = match["tag"] or (None if digest else "latest")
    return Reference(str(match["registry"]), repository, tag, digest)


def same_tag(pinned: str, reference: Reference) -> bool:
    """Whether `pinned` is `reference` at some digest."""
    known = parse_reference(pinned)
    return (known.name, known.tag) == (reference.name, reference.tag)


def check_policy(reference: Reference, policy: Policy, allow: tuple[str, ...]) -> None:
    """Raise IMAGE_NOT_ALLOWED unless `policy` may let `reference` in. Signatures are looked for elsewhere.

    `allow` holds patterns (`registry.example/team/*`, a digest); set, it binds under every policy but `any`.
    """
    if policy == "any":
        return
    names = (str(reference), reference.name, reference.pinned, reference.digest or "")
    if (allow or policy == "allow") and not any(fnmatch.fnmatchcase(n, pattern) for n in names for pattern in allow):
        listed = ", ".join(f"`{pattern}`" for pattern in allow) or "nothing"
        raise _refused(
            reference, f"{listed} is allowed.", "Add it to `images.allow` in config.toml, or choose one of these."
        )
    if policy == "pinned" and reference.digest is None:
        remedy = f"Give it by its digest: `--image {reference.name}@sha256:…`."
        raise _refused(reference, "the policy `pinned` wants a digest.", remedy)
    if policy == "signed" and reference.registry == LOCAL:
        raise _refused(reference, "it is in no registry, so nobody can have signed it.", "Push it, and sign it there.")


def not_signed(reference: Reference, why: str) -> StokerError:
    """The refusal of an image without a signature that one of our keys made."""
    remedy = f"Sign it with a key of `images.keys`: `cosign sign --key KEY {reference.pinned}`."
    return _refused(reference, why, remedy)


def _refused(reference: Reference, why: str, remedy: str) -> StokerError:
    return StokerError("IMAGE_NOT_ALLOWED", f"`{reference}`: {why}", remedy)
